// Listening to CustomerFlow from Node.js, with nothing but amqplib.
//
//   npm install
//   AMQP_URL=amqp://user:password@host/ node consumer.js
//
// QUEUE names the queue (default: nodejs-example) and SEEN the file of the ids that were handled (default: seen.txt).
// A queue that CustomerFlow's operator has made, customerflow.partner.<name>, is not declared: its account may only read.
// Each event is printed as one line; SIGTERM or SIGINT stops it when the event in hand is done.
//
// What it shows, as every consumer in any language has to do it:
//
// - a durable queue of one's own, bound by routing keys: events wait in it while nobody consumes. One consumer is active
//   at a time (x-single-active-consumer) and has one event in hand (prefetch 1): so each customer's order is kept.
// - an event is acknowledged after it has been handled; if the connection is lost it is delivered again.
// - so an event may come twice: the ids of those handled are kept. Here they are in a file, written after the event was
//   printed: whoever kills the process between the two sees that line twice. Keep the id in the transaction of what
//   you change, as the Python kit's inbox does, and the effect is there exactly once.
// - what is no event is refused and goes to <queue>.refused (<queue>.dead, if the operator made it); a type that is not known is acknowledged.
// - it begins again, with growing pauses, whatever happens to the connection.
//
// What can be relied on: at least once; in order per customer; `sequence` grows with gaps, for not every version of a
// customer is told; fields and types may be added, so what is not known is ignored.

"use strict";

const fs = require("node:fs");
const amqp = require("amqplib");

const url = process.env.AMQP_URL;
const queue = process.env.QUEUE || "nodejs-example";
const seenFile = process.env.SEEN || "seen.txt";
const routingKeys = ["customer.#"];
const EXCHANGE = "customerflow.integration";
const GIVEN = "customerflow.partner.";
const LONGEST_PAUSE = 10_000; // ms

if (!url) {
  console.error("AMQP_URL is missing");
  process.exit(2);
}

const seen = new Set(fs.existsSync(seenFile) ? fs.readFileSync(seenFile, "utf8").split("\n") : []);
const seenLog = fs.openSync(seenFile, "a");

let stopping = false;
let wake = () => {};

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    stopping = true;
    wake();
  });
}

/** What your system does with an event. */
async function handle(event) {
  console.log(JSON.stringify({ type: event.type, subject: event.subject, sequence: event.sequence, data: event.data }));
}

/** The event, or null if the message is none. */
function read(message) {
  try {
    const event = JSON.parse(message.content.toString("utf8"));
    return event.specversion === "1.0" && event.id && event.type && event.subject ? event : null;
  } catch {
    return null;
  }
}

async function receive(channel, message) {
  const event = read(message);
  if (!event) {
    console.error("refused, as it is no event");
    channel.reject(message, false);
    return;
  }
  if (!seen.has(event.id)) {
    await handle(event);
    fs.writeSync(seenLog, `${event.id}\n`);
    fs.fsyncSync(seenLog);
    seen.add(event.id);
  }
  channel.ack(message);
}

/** A queue of one's own, bound to what is wanted, and one for what it refuses or drops. */
async function declare(channel) {
  await channel.assertQueue(`${queue}.refused`, {
    arguments: { "x-queue-type": "quorum", "x-max-length": 10_000, "x-overflow": "drop-head" },
  });
  await channel.assertQueue(queue, {
    arguments: {
      "x-queue-type": "quorum",
      "x-single-active-consumer": true,
      "x-max-length-bytes": 1_000_000_000,
      "x-overflow": "drop-head",
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": `${queue}.refused`,
      "x-delivery-limit": 1000,
    },
  });
  for (const routingKey of routingKeys) await channel.bindQueue(queue, EXCHANGE, routingKey);
}

/** Until the connection or the queue is gone, or it is to stop. */
async function consume() {
  const connection = await amqp.connect(url);
  let inHand = Promise.resolve();
  let failure = null;
  try {
    const ended = new Promise((resolve) => {
      wake = resolve;
      connection.on("close", resolve);
      connection.on("error", (error) => resolve((failure = error)));
    });
    const channel = await connection.createChannel();
    channel.on("error", (error) => wake((failure = error)));
    channel.on("close", () => wake());
    if (!queue.startsWith(GIVEN)) await declare(channel);
    await channel.prefetch(1);
    await channel.consume(queue, (message) => {
      if (message === null) return wake(); // the queue was deleted
      if (stopping) return; // it goes back to the queue
      inHand = receive(channel, message).catch((error) => wake((failure = error)));
    });
    console.error(`consuming ${queue}`);
    if (!stopping) await ended;
    if (stopping && !failure) {
      // Not cancelled first: a consumer that stands by would be given what comes next before this is done.
      await inHand;
      await channel.close();
    }
  } finally {
    await inHand;
    try {
      await connection.close();
    } catch {
      // it is closed already
    }
  }
  if (failure) throw failure;
  if (!stopping) throw new Error("connection or queue lost");
}

async function main() {
  let pause = 100;
  while (!stopping) {
    const began = Date.now();
    await consume().catch((error) => console.error(`interrupted: ${error.message}`));
    if (stopping) break;
    pause = Date.now() - began > LONGEST_PAUSE ? 100 : Math.min(pause * 2, LONGEST_PAUSE);
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, pause);
    });
  }
}

main().then(() => process.exit(0));
