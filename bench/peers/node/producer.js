// POST /contacts publishes one persistent message, and answers 202 after the publisher confirm.

import { connect } from 'amqplib';
import Fastify from 'fastify';
import { v7 as uuid } from 'uuid';

function env(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set`);
    process.exit(2);
  }
  return value;
}

const AMQP_URL = env('AMQP_URL');
const QUEUE = env('QUEUE');
const PORT = Number(env('PORT'));

const connection = await connect(AMQP_URL, { noDelay: true });
const channel = await connection.createConfirmChannel();
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

await channel.checkQueue(QUEUE);

// The broker returns an unroutable message before it confirms it.
const returned = new Set();
channel.on('return', (message) => returned.add(message.properties.messageId));

function publish(body, properties) {
  return new Promise((resolve, reject) => {
    channel.publish('', QUEUE, body, properties, (error) => {
      if (error) reject(error);
      else if (returned.delete(properties.messageId)) reject(new Error('the message is unroutable'));
      else resolve();
    });
  });
}

const E164 = /^(?:\+?55|0)?([1-9]\d)(9\d{8}|[2-5]\d{7})$/;

/** `(11) 98765-4321` -> `+5511987654321`, or null. */
function toE164(text) {
  const match = E164.exec(text.replace(/[ ().-]/g, ''));
  return match && `+55${match[1]}${match[2]}`;
}

const text = { type: 'string' };
const schema = {
  body: {
    type: 'object',
    required: ['name', 'phone', 'email'],
    additionalProperties: false,
    properties: {
      name: { type: 'string', minLength: 1, maxLength: 100 },
      phone: { type: 'string', minLength: 10, maxLength: 32 },
      email: { type: 'string', format: 'email', maxLength: 254 },
    },
  },
  // With this schema, Fastify serializes the answer without JSON.stringify.
  response: {
    202: {
      type: 'object',
      properties: { operation_id: text, contact_id: text, version: text, status: text },
    },
  },
};

const app = Fastify({ logger: false });

app.get('/livez', async () => 'ok');

app.post('/contacts', { schema }, async (request, reply) => {
  const { name, email } = request.body;
  const phone = toE164(request.body.phone);
  if (!phone) {
    return reply.code(400).send({ statusCode: 400, error: 'Bad Request', message: 'body/phone must be a phone number' });
  }
  const now = Date.now();
  const operationId = uuid();
  const contactId = uuid();
  // The stamp is larger than 2^53, and JSON.stringify would round it. So the outer object is built by hand.
  const body =
    `{"schema":1,"operation":"insert","operation_id":"${operationId}","contact_id":"${contactId}"` +
    `,"stamp":${BigInt(now) << 16n},"accepted_at":"${new Date(now).toISOString().slice(0, -1)}000Z"` +
    `,"contact":${JSON.stringify({ name, phone, email })}}`;
  await publish(Buffer.from(body), {
    persistent: true,
    mandatory: true,
    messageId: operationId,
    type: 'contact.insert',
    contentType: 'application/json',
    timestamp: Math.floor(now / 1000),
    appId: 'contacts',
  });
  reply.code(202).header('location', `/operations/${operationId}`);
  return { operation_id: operationId, contact_id: contactId, version: operationId, status: 'accepted' };
});

await app.listen({ host: '127.0.0.1', port: PORT });

process.once('SIGTERM', async () => {
  stopping = true;
  await app.close();
  await channel.waitForConfirms();
  await connection.close();
});
