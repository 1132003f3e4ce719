// A worker for jobs with `target=NatsRequest(subject="reports.render")`, with the npm package `nats`.
//
//     npm install && node worker.mjs nats://127.0.0.1:4222 reports.render
//
// docs/workers.md has the protocol. Start as many as you like: one of them gets each request.

import { setTimeout as sleep } from "node:timers/promises";
import { connect, headers, JSONCodec } from "nats";

const [server, subject] = process.argv.slice(2);
const json = JSONCodec();

// Another attempt would meet this again.
class Refused extends Error {}

// Stands for the work: some pages, each of which takes some seconds.
async function render(order, checkIn, signal) {
  const { pages, seconds = 0.1, printer } = order;
  if (!Number.isInteger(pages)) {
    throw new Refused(`pages has to be a number, not ${JSON.stringify(pages)}`);
  }
  for (let page = 1; page <= pages; page++) {
    await sleep(seconds * 1000, undefined, { signal });
    checkIn(`page ${page} of ${pages}`, { page });
  }
  if (printer === "jammed") throw new Error("the printer is jammed");
  return { pages, worker: process.pid };
}

// Does the work of one request and answers it, unless it is cancelled.
async function handle(client, request) {
  const told = (name) => request.headers?.get(`Natsched-${name}`);
  const run = `${told("Execution")} ${told("Attempt")}`;
  const stopping = new AbortController();
  const cancelled = client.subscribe(told("Cancel"), { callback: () => stopping.abort() });
  // a message to cancel it may get lost
  const left = told("Deadline") ? Date.parse(told("Deadline")) - Date.now() : null;
  const timer = left === null ? null : setTimeout(() => stopping.abort(), Math.min(left, 2 ** 31 - 1));
  const checkIn = (text, data) => client.publish(told("Progress"), json.encode({ text, data }));
  console.log("began", run);
  try {
    const order = request.data.length > 0 ? json.decode(request.data) : {};
    request.respond(json.encode(await render(order, checkIn, stopping.signal)));
  } catch (error) {
    if (stopping.signal.aborted) {
      console.log("cancelled", run); // nobody waits for an answer any more
      return;
    }
    const failed = headers();
    failed.set("Natsched-Error", error.message.replace(/\s+/g, " ")); // a header is one line
    failed.set("Natsched-Retryable", String(!(error instanceof Refused)));
    request.respond(undefined, { headers: failed });
  } finally {
    clearTimeout(timer);
    cancelled.unsubscribe();
  }
}

const client = await connect({ servers: server, name: "a worker", maxReconnectAttempts: -1 });
const requests = client.subscribe(subject, { queue: "workers" });
await client.flush();
console.log("ready");
for await (const request of requests) {
  handle(client, request); // not awaited: many at once
}
