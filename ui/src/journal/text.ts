import { t } from "../i18n/index.ts";
import { str } from "./events.ts";
import type { Item, Transcript } from "./model.ts";

function itemText(item: Item): string {
  switch (item.kind) {
    case "user":
      return [`## ${t("words:you")}`, item.text, ...item.attachments.map(({ name }) => `*${name}*`)].join("\n\n");
    case "text":
      return item.text;
    case "tool": {
      const what = str(item.args, "command") || str(item.args, "path") || str(item.args, "pattern");
      const body = item.output || item.result;
      return `\`${item.tool}\` ${what}\n\n\`\`\`\n${body.trimEnd()}\n\`\`\``;
    }
    case "notice":
      return `> ${item.message}`;
    default:
      return "";
  }
}

/** The conversation as Markdown, for the clipboard. */
export function asText(transcript: Transcript): string {
  const parts = transcript.items.map(itemText).filter(Boolean);
  return [`# ${transcript.title}`, ...parts].join("\n\n");
}
