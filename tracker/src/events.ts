/** Makes events, if and when the visitor agrees. */

import { options } from "./options";
import { enqueue } from "./sending";
import { CONSENT, isLasting, names, remove, SEQ, set, texts, VISITOR } from "./store";

const NOWHERE = "^$"; // a pattern of no path
export const URL_MAX_CHARACTERS = 2_048; // more is refused

/** Of the page that is shown. */
export const page = { url: "", referrer: document.referrer.slice(0, URL_MAX_CHARACTERS) };

type Made = Record<string, unknown>;

let customer: string | undefined;
let waiting: Made[] = []; // for consent

export const track = (name: string, properties?: object): void => {
  const answer = texts[CONSENT];
  if (+answer! === 0 || location.pathname.match(options.exclude || NOWHERE)) return;
  const event: Made = {
    event: name,
    event_id: newId(),
    customer_id: customer,
    client_time: new Date(),
    ...page,
    properties,
  };
  if (answer || !("consent" in options)) keep(event);
  else waiting.push(event);
};

export const identify = (id?: unknown, properties?: object): void => {
  customer = id ? "" + id : undefined;
  if (customer) track("customer_identified", properties);
};

/** Who comes next is somebody else; what is on its way stays whose it is. */
export const reset = (): void => {
  identify();
  remove(VISITOR);
  remove(SEQ);
};

export const consent = (isGiven: boolean): void => {
  if (!isGiven) {
    identify();
    names().forEach(remove);
  }
  set(CONSENT, isGiven ? 1 : 0);
  if (isGiven) waiting.forEach(keep);
  waiting = [];
};

/** Says whose it is, and their how many-th. Where nothing lasts the service names the visitor, for a day. */
const keep = (event: Made): void => {
  if (isLasting) {
    if (!texts[VISITOR]) set(VISITOR, newId());
    set(SEQ, (event.seq = (+texts[SEQ]! || 0) + 1));
    event.visitor_id = texts[VISITOR];
  }
  enqueue(event.event_id as string, JSON.stringify(event));
};

/** A UUIDv7: milliseconds since 1970 in 12 hex digits, then 18 decimal digits of chance. */
const newId = (): string => {
  const digits = "0" + Date.now().toString(16) + crypto.getRandomValues(new Uint32Array(4)).join("");
  return digits.replace(/(.{8})(.{4})(.{3})(.{3})(.{12}).*/, "$1-$2-7$3-8$4-$5");
};
