import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { build, type Plugin } from "vite";

/** Kept on the device: everything that a page may ask for. Maps and packed copies are not. */
const KEPT = /\.(js|css|woff2|svg|png|webmanifest)$/;

/**
 * Builds the service worker once the bundle stands: a script of its own at the root of the console, with the names of
 * all files in it. Whatever changes in a file changes the worker, and with that the browser finds a new version.
 */
export function serviceWorker(folder: string): Plugin {
  return {
    name: "kaged-worker",
    apply: "build",
    async writeBundle() {
      const names = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && KEPT.test(entry.name) && entry.name !== "sw.js")
        .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
        .sort();
      const revision = createHash("sha256");
      for (const name of [...names, "index.html"]) revision.update(`${name}\0`).update(readFileSync(join(folder, name)));
      await build({
        configFile: false,
        publicDir: false,
        logLevel: "warn",
        define: { __FILES__: JSON.stringify(names), __REVISION__: JSON.stringify(revision.digest("hex").slice(0, 16)) },
        build: {
          outDir: folder,
          emptyOutDir: false,
          target: "es2022",
          rollupOptions: {
            input: resolve(import.meta.dirname, "../src/worker/sw.ts"),
            output: { format: "iife", entryFileNames: "sw.js" },
          },
        },
      });
    },
  };
}
