// One message -> one row, committed by itself, then acknowledged.

import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import pg from 'pg';

function env(name, fallback) {
  const value = process.env[name] || fallback;
  if (!value) {
    console.error(`${name} is not set`);
    process.exit(2);
  }
  return value;
}

const AMQP_URL = env('AMQP_URL');
const QUEUE = env('QUEUE');
const DATABASE_URL = env('DATABASE_URL');
const SCHEMA = env('SCHEMA');
const PREFETCH = Number(env('PREFETCH', '200'));
const CONNECTIONS = Number(env('CONNECTIONS', '10'));

// `values` below is in the order of these columns.
const INSERT = `
  INSERT INTO contacts (id, version, stamp, created_by, created_at, updated_at, name, phone, ddd, email, name_key)
  VALUES ($1, $2, 0, $2, $3, $3, $4, $5, $6, $7, $8)
  ON CONFLICT (id) DO NOTHING`;

function values({ operation_id, contact_id, accepted_at, contact: { name, phone, email } }) {
  // +5511987654321: the area code follows the country's.
  return [contact_id, operation_id, accepted_at, name, phone, Number(phone.slice(3, 5)), email, name.toLowerCase()];
}

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: CONNECTIONS, options: `-c search_path=${SCHEMA}` });
// An idle connection that breaks is replaced by the pool; without a listener it would end the process.
pool.on('error', (error) => console.error('database:', error.message));

const connection = await connect(AMQP_URL, { noDelay: true });
const channel = await connection.createChannel();
let stopping = false;

// No recovery of its own: it ends, and what supervises it starts it again.
function lost(error) {
  if (stopping) return;
  console.error('the broker is gone:', error?.message ?? 'connection closed');
  process.exit(1);
}
connection.on('error', lost);
connection.on('close', lost);
channel.on('error', lost);
channel.on('close', lost);

const running = new Set();

async function handle(message) {
  let row;
  try {
    row = values(JSON.parse(message.content.toString()));
  } catch (error) {
    console.error('rejected:', error.message);
    channel.reject(message, false);
    return;
  }
  try {
    // A name makes it a prepared statement, parsed once for each connection. Alone, it is its own transaction.
    await pool.query({ name: 'insert', text: INSERT, values: row });
    channel.ack(message);
  } catch (error) {
    console.error('database:', error.message);
    await sleep(1000);
    channel.nack(message);
  }
}

await channel.prefetch(PREFETCH);
const { consumerTag } = await channel.consume(QUEUE, (message) => {
  // The broker ended the subscription, for example because the queue was deleted.
  if (message === null) return lost(new Error('the queue is gone'));
  const done = handle(message).finally(() => running.delete(done));
  running.add(done);
});

process.once('SIGTERM', async () => {
  stopping = true;
  await channel.cancel(consumerTag);
  await Promise.all(running);
  await channel.close();
  await connection.close();
  await pool.end();
});
