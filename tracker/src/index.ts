/** Starts the tracker and gives the page its `footfall`. Nothing in here may throw into the page, or hold it up. */

import { followClick } from "./clicks";
import { consent, identify, reset, track } from "./events";
import { isOptedOut, options } from "./options";
import { followAddress, leave, look, measureScroll, viewPage } from "./pages";
import { flush, tryAgain } from "./sending";

type Callback = (...given: any[]) => void;

/** q: calls that the stub kept, each a method's name and its arguments. */
type Footfall = Callback & Record<string, Callback> & { q?: [name: string, given: unknown[]][] };

declare global {
  var footfall: Footfall | undefined;
}

const quiet = (call: Callback): Callback => {
  return (...given) => {
    try {
      if (!isOptedOut) call(...given);
    } catch {
      // What goes wrong in here is no concern of the page's.
    }
  };
};

const on = (call: Callback, type: string): void => addEventListener(type, quiet(call), true);

const start = (): void => {
  const early = (window.footfall || { q: [] }).q;
  if (!early) return; // the script is there twice
  const api = (window.footfall = quiet(track) as Footfall);
  const methods: Record<string, Callback> = { track, identify, reset, consent, flush };
  for (const name in methods) api[name] = quiet(methods[name]!);
  on((shown: PageTransitionEvent) => shown.persisted && viewPage(), "pageshow");
  on(() => document.hidden && leave(), "visibilitychange");
  on(leave, "pagehide");
  on(look, "focus");
  on(look, "blur");
  on(measureScroll, "scroll");
  on(followClick, "click");
  on(tryAgain, "online");
  if (!options.spa) followNavigation();
  quiet(viewPage)();
  api.flush!();
  for (const [name, given] of early) api[name]!(...given);
};

const followNavigation = (): void => {
  on(followAddress, "popstate");
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = (...given) => {
      original.apply(history, given);
      quiet(followAddress)();
    };
  }
};

// A page that is made ready beforehand may never be shown.
if ((document as { prerendering?: boolean }).prerendering) {
  document.addEventListener("prerenderingchange", start);
} else {
  start();
}
