// Writes one row for each message, commits it, and acknowledges the message.

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
  // +5511987654321: the area code follows the country code.
  return [contact_id, operation_id, accepted_at, name, phone, Number(phone.slice(3, 5)), email, name.toLowerCase()];
}

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: CONNECTIONS, options: `-c search_path=${SCHEMA}` });
// The pool replaces a broken idle connection. Without this listener, the error would stop the process.
pool.on('error', (error) => console.error('database:', error.message));

const connection = await connect(AMQP_URL, { noDelay: true });
const channel = await connection.createChannel();
let stopping = false;

// No reconnect: the process exits, and its supervisor starts it again.
function exitOnLoss(error) {
  if (stopping) return;
  console.error('connection to the broker lost:', error?.message ?? 'connection closed');
  process.exit(1);
}
connection.on('error', exitOnLoss);
connection.on('close', exitOnLoss);
channel.on('error', exitOnLoss);
channel.on('close', exitOnLoss);

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
    // A named statement is prepared once for each connection. A single statement is its own transaction.
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
  // The broker cancelled the consumer, for example because the queue was deleted.
  if (message === null) return exitOnLoss(new Error('the queue was deleted'));
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
