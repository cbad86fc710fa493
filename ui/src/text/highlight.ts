import hljs from "highlight.js/lib/common";

// What is called `shell` in Markdown is hardly ever a session with its prompts.
hljs.unregisterLanguage("shell");
hljs.registerAliases(["shell", "console"], { languageName: "bash" });
hljs.registerAliases(["conf", "cfg"], { languageName: "ini" });

/** The highlighter's HTML for `text`, or null for a language it does not know. Loaded on first need. */
export function highlight(text: string, language: string): string | null {
  if (hljs.getLanguage(language) === undefined) return null;
  return hljs.highlight(text, { language, ignoreIllegals: true }).value;
}
