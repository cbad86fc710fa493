import { resolve } from "node:path";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { oneFontFormat } from "./build/fonts.ts";
import { precompress } from "./build/precompress.ts";
import { serviceWorker } from "./build/worker.ts";

const outDir = process.env["KAGED_UI_OUT"] ?? resolve(import.meta.dirname, "../src/kaged/web");

// The page of the design system is for developers: a normal build holds nothing of it.
const design = process.env["KAGED_UI_DESIGN"] === "1";

export default defineConfig(({ command }) => ({
  define: { __DESIGN__: JSON.stringify(design || command === "serve") },
  // Relative: the console works below any path; the daemon sets the depth of the tags in index.html.
  base: "./",
  plugins: [react(), oneFontFormat(), serviceWorker(outDir), precompress(outDir)],
  build: {
    outDir,
    emptyOutDir: true,
    target: "es2022",
    // Browsers that know light-dark(): the tokens are written with it.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // Every asset stays a file of its own, so that the content policy needs no data: source.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
}));
