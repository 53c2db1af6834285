/** What outlives the page: texts in localStorage, or only in memory where that is not wanted, not allowed or full. */

import { options } from "./options";

/** All that is ours in a storage that we share with the shop. */
const OURS = "footfall ";

export const VISITOR = OURS + "visitor";
export const SEQ = OURS + "seq";
export const CONSENT = OURS + "consent";
export const WAIT_UNTIL = OURS + "wait";
/** Before the id of an event. Those of another key are left alone. */
export const EVENT = OURS + options.key + " ";

/** By name. */
export let texts: Record<string, string> = {};

/** Whether what is kept is there on the next page, and in other tabs. */
export let isLasting = false;

try {
  if (!("cookieless" in options)) {
    texts = localStorage;
    isLasting = true;
  }
} catch {
  // The browser forbids it.
}

export const set = (name: string, text: unknown): void => {
  try {
    texts[name] = text as string;
  } catch {
    texts = { ...texts, [name]: text as string }; // it is full
  }
};

export const remove = (name: string) => delete texts[name];

/** In order. */
export const names = (beginning = OURS) =>
  Object.keys(texts)
    .filter((name) => name.startsWith(beginning))
    .sort();
