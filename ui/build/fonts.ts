import type { Plugin } from "vite";

/** KaTeX names each font in three formats; every browser that runs the console reads the first. */
export function oneFontFormat(): Plugin {
  return {
    name: "kaged-one-font-format",
    enforce: "pre",
    transform(code, id) {
      if (!/katex[^/]*\.css/.test(id)) return null;
      return { code: code.replace(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\(["'][a-z]+["']\)/g, ""), map: null };
    },
  };
}
