/** Events on their way: kept until the service has said that it has them. */

import { endpoint } from "./options";
import { EVENT, isLasting, names, remove, set, texts, WAIT_UNTIL } from "./store";

const DELAY_MS = 300; // what happens within is sent together
const BACKOFF_MS = 1_000; // after the first failure; doubled after each further one
const BACKOFF_DOUBLINGS_MAX = 8; // about four minutes
const SETTLE_MS = 99; // until other tabs see what is gone from the store
const WAIT_MAX_MS = 2_400_000; // 40 min, whatever Retry-After says
const WAIT_TOLD_MAX_MS = 3_600_000; // with half as much by chance; a longer wait comes from a clock that was wrong
// Browsers take 64 KiB in requests that outlive their page. A character takes at most three bytes.
const BATCH_MAX_CHARACTERS = 20_000;
const KEPT_MAX_CHARACTERS = 250_000; // some 500 events; beyond, the oldest go

let timer = 0;
let hasNews = false; // since the last beacon
let failureCount = 0;

/** event: as JSON. id: grows with time. */
export const enqueue = (id: string, event: string): void => {
  if (event.length > BATCH_MAX_CHARACTERS) return;
  set(EVENT + id, event);
  const kept = names(EVENT);
  while (bodyOf(kept).length > KEPT_MAX_CHARACTERS) remove(kept.shift()!);
  hasNews = true;
  schedule();
};

/** Sends what is kept, by this page or an earlier one, unless the service asked to wait. */
export const flush = (): void => {
  clearTimeout(timer);
  timer = 0;
  // One tab at a time, and one request: what was sent meanwhile is gone from the store then.
  (navigator.locks ? navigator.locks.request(EVENT, send) : send()).then(rest, rest);
};

/** There is a connection again. */
export const tryAgain = (): void => {
  remove(WAIT_UNTIL);
  flush();
};

/** The page may be gone in a moment. What a beacon takes is kept nevertheless: nobody tells whether it arrives. */
export const sendBeacon = (): void => {
  const batch = nextBatch();
  if (hasNews && batch.length && !(isLasting && waitMs())) hasNews = !navigator.sendBeacon(endpoint, bodyOf(batch));
};

/** After sending. */
const rest = (): void => {
  if (names(EVENT).length) schedule();
};

const schedule = (): void => {
  timer ||= setTimeout(flush, waitMs() || DELAY_MS);
};

const waitMs = (): number => {
  const wait = +texts[WAIT_UNTIL]! - Date.now();
  return wait > 0 && wait < WAIT_TOLD_MAX_MS ? wait : 0;
};

const send = async (): Promise<void> => {
  const batch = nextBatch();
  if (!batch.length || waitMs()) return;
  let wait = BACKOFF_MS << Math.min(failureCount++, BACKOFF_DOUBLINGS_MAX);
  try {
    const reply = await fetch(endpoint, { method: "POST", body: bodyOf(batch), keepalive: true });
    if (/408|429|5../.test("" + reply.status)) {
      wait = Math.min(WAIT_MAX_MS, Math.max(wait, +reply.headers.get("Retry-After")! * 1_000 || 0));
    } else {
      batch.forEach(remove);
      wait = failureCount = 0;
    }
  } catch {
    // No connection.
  }
  set(WAIT_UNTIL, Date.now() + wait * (1 + Math.random() / 2));
  return new Promise((done) => setTimeout(done, SETTLE_MS));
};

/** The oldest that go into one request. */
const nextBatch = (): string[] => {
  let size = 0;
  return names(EVENT).filter((name) => (size += texts[name]!.length) <= BATCH_MAX_CHARACTERS);
};

const bodyOf = (batch: string[]) => `{"sent_at":${JSON.stringify(new Date())},"events":[${batch.map((name) => texts[name])}]}`;
