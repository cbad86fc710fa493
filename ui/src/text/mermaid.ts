import mermaid from "mermaid";

/** Mermaid as it may be used on what a model wrote. Loaded on first need. */

export interface Drawing {
  /** A document of its own: shown as an image, where no script runs and nothing is fetched. */
  url: string;
  width: number; height: number;
}

const SANS = "system-ui, sans-serif"; // an image has none of the page's fonts

/** A diagram cannot choose for itself what it is drawn with. */
const SECURE = ["secure", "securityLevel", "startOnLoad", "maxTextSize", "maxEdges", "suppressErrorRendering", "htmlLabels", "themeCSS", "themeVariables", "fontFamily", "altFontFamily", "dompurifyConfig", "flowchart", "theme"];

let queue: Promise<unknown> = Promise.resolve();
let drawn = 0;

/** A tag in a label stays the text it is, and never comes before a parser, not even the sanitizer's; lines may break. */
export function withoutTags(text: string): string {
  return text.replace(/(?<!<)<(?=[a-z/!?])(?!br\s*\/?>)/gi, "‹");
}

/** Draws one at a time, each in a moment when the page has nothing better to do. Rejects with what is wrong in it. */
export function draw(text: string, dark: boolean): Promise<Drawing> {
  const made = queue.then(idle).then(() => drawNow(text, dark));
  queue = made.catch(() => {});
  return made;
}

function idle(): Promise<void> {
  return new Promise((done) => {
    if ("requestIdleCallback" in window) requestIdleCallback(() => done(), { timeout: 1000 });
    else setTimeout(done, 50);
  });
}

async function drawNow(text: string, dark: boolean): Promise<Drawing> {
  mermaid.initialize({
    startOnLoad: false, securityLevel: "strict", suppressErrorRendering: true, maxTextSize: 20_000, maxEdges: 300,
    secure: SECURE, theme: dark ? "dark" : "neutral", fontFamily: SANS, htmlLabels: false, flowchart: { htmlLabels: false },
  });
  const { svg } = await mermaid.render(`diagram-${(drawn += 1)}`, withoutTags(text));
  const box = /viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"/.exec(svg);
  const [width, height] = [Math.ceil(Number(box?.[1] ?? 0)), Math.ceil(Number(box?.[2] ?? 0))];
  // An image takes its own size from the root, where Mermaid writes only what suits a page.
  const sized = svg.replace(/^<svg [^>]*?width="100%"/, (root) => root.replace('width="100%"', `width="${width}" height="${height}"`));
  return { url: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(sized)}`, width, height };
}
