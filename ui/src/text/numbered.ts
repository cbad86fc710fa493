export interface NumberedLine {
  number: number; text: string;
}

/** `number<tab>text` lines, as file reads give them; null when the text is something else. */
export function numbered(text: string): NumberedLine[] | null {
  const lines: NumberedLine[] = [];
  let strange = 0;
  for (const line of text.split("\n")) {
    const match = /^\s*(\d+)\t(.*)$/.exec(line);
    if (match === null) strange += 1;
    else lines.push({ number: Number(match[1]), text: match[2] ?? "" });
  }
  return lines.length === 0 || strange > 1 ? null : lines;
}
