/** Bundles and minifies src/ into app/tracker/t.js, and notes from which sources that was made. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { buildSync } from "esbuild";
import { minify } from "terser";

const MAX_GZIPPED_BYTES = 2_000;
const OUTPUT = "../app/tracker/";

process.chdir(import.meta.dirname);

const bundled = buildSync({
  entryPoints: ["src/index.ts"],
  bundle: true,
  write: false,
  format: "esm",
  minifySyntax: true,
  target: "es2021",
});
// Whatever goes wrong must not reach the page, not even a script tag that lacks what it needs.
const guarded = `(()=>{try{${bundled.outputFiles[0].text}}catch{}})()`;
const minified = await minify(guarded, {
  ecma: 2021,
  compress: { inline: 1, sequences: false, unsafe_arrows: true, unsafe_methods: true },
  mangle: true,
  format: { comments: false },
});
const script = minified.code;
const size = gzipSync(script, { level: 9 }).length;
console.log(`${script.length} bytes, gzipped ${size}`);
if (size > MAX_GZIPPED_BYTES) throw new Error(`At most ${MAX_GZIPPED_BYTES} bytes gzipped are allowed.`);

writeFileSync(OUTPUT + "t.js", script);
writeFileSync(OUTPUT + "t.js.sources", sourcesDigest() + "\n");

/** SHA-256 over what the script is made from, and over itself, as tests/unit/test_tracker_serving.py works it out. */
function sourcesDigest() {
  const digest = createHash("sha256");
  const sources = readdirSync("src").map((name) => `src/${name}`);
  for (const name of ["build.mjs", "package-lock.json", ...sources].sort()) {
    digest.update(`${name}\n`).update(readFileSync(name));
  }
  return digest.update(script).digest("hex");
}
