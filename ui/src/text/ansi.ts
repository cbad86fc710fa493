/** Terminal output as styled lines, for output that is looked at and not typed into. Pure. */

export interface Style {
  /** 0–15 palette, `#rrggbb`, or null for the default. */
  fg: number | string | null;
  bg: number | string | null; bold: boolean; dim: boolean; italic: boolean; underline: boolean; inverse: boolean;
}

export type Line = { text: string; style: Style }[];

const PLAIN: Style = { fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, inverse: false };

// CSI, OSC (ended by BEL or ST), and two-byte escapes; what is not a colour is dropped.
const ESCAPE =
  /\u001b(?:\[([0-9;:?<=>]*)([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])/y;

const CONTROL = /[\u0000-\u001f\u007f]/;

/** A sequence cut off by the end of the text is shorter than this. */
const LONGEST = 64;

interface Cell {
  char: string; style: Style;
}

/** A carriage return goes back to the line's start (progress bars draw over themselves), backspace one cell. */
export function parseAnsi(text: string): Line[] {
  const lines: Line[] = [];
  let row: Cell[] = [];
  let column = 0;
  let style = PLAIN;
  for (let index = 0; index < text.length;) {
    if (column === 0 && row.length === 0) {
      // Most lines carry no control at all: take them whole.
      const end = text.indexOf("\n", index);
      const plain = end === -1 ? "" : text.slice(index, end);
      if (end !== -1 && !CONTROL.test(plain)) {
        lines.push(plain === "" ? [] : [{ text: plain, style }]);
        index = end + 1;
        continue;
      }
    }
    const char = text[index] ?? "";
    if (char === "\u001b") {
      ESCAPE.lastIndex = index;
      const match = ESCAPE.exec(text);
      if (match === null) {
        // The rest of it has not come yet; further up it is no sequence at all.
        if (text.length - index < LONGEST && !text.includes("\n", index)) break;
        index += 1;
        continue;
      }
      index = ESCAPE.lastIndex;
      if (match[2] === "m") style = restyle(style, match[1] ?? "");
      else if (match[2] === "K" && (match[1] === "" || match[1] === "0")) row.length = Math.min(row.length, column);
      else if (match[2] === "K") row = [];
      continue;
    }
    const width = (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
    if (char === "\n") {
      lines.push(runs(row));
      row = [];
      column = 0;
    } else if (char === "\r") column = 0;
    else if (char === "\b") column = Math.max(0, column - 1);
    else if (char === "\t") {
      do row[column] = { char: " ", style };
      while (++column % 8 !== 0);
    } else if (char >= " " && char !== "\u007f") {
      for (let gap = row.length; gap < column; gap++) row[gap] = { char: " ", style: PLAIN };
      row[column] = { char: text.slice(index, index + width), style };
      column += 1;
    }
    index += width;
  }
  if (row.length > 0) lines.push(runs(row));
  return lines;
}

function runs(row: readonly Cell[]): Line {
  const line: Line = [];
  for (const cell of row) {
    const last = line.at(-1);
    if (last !== undefined && last.style === cell.style) last.text += cell.char;
    else line.push({ text: cell.char, style: cell.style });
  }
  return line;
}

const SGR = new Map<number, Partial<Style>>([
  [0, PLAIN], [1, { bold: true }], [2, { dim: true }], [3, { italic: true }], [4, { underline: true }], [7, { inverse: true }],
  [22, { bold: false, dim: false }], [23, { italic: false }], [24, { underline: false }], [27, { inverse: false }],
  [39, { fg: null }], [49, { bg: null }],
]);
for (let n = 0; n < 8; n++) SGR.set(30 + n, { fg: n }).set(40 + n, { bg: n }).set(90 + n, { fg: n + 8 }).set(100 + n, { bg: n + 8 });

function restyle(style: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map(Number);
  const next = { ...style };
  for (let index = 0; index < codes.length; index++) {
    const code = codes[index] ?? 0;
    if (code === 38 || code === 48) {
      const [color, used] = extended(codes.slice(index + 1));
      next[code === 38 ? "fg" : "bg"] = color;
      index += used;
    } else Object.assign(next, SGR.get(code));
  }
  return next;
}

/** A colour of the 256 or of all, and how many codes say it. */
function extended([kind, one = 0, two = 0, three = 0]: number[]): [number | string | null, number] {
  if (kind === 5) return [indexed(one), 2];
  return kind === 2 ? [hex(one, two, three), 4] : [null, 1];
}

function indexed(index: number): number | string {
  if (index < 16) return index;
  if (index >= 232) {
    const level = 8 + (index - 232) * 10;
    return hex(level, level, level);
  }
  const step = (value: number): number => (value === 0 ? 0 : 55 + value * 40);
  const cube = index - 16;
  return hex(step(Math.floor(cube / 36)), step(Math.floor(cube / 6) % 6), step(cube % 6));
}

function hex(...channels: number[]): string {
  return `#${channels.map((value) => Math.min(255, Math.max(0, value)).toString(16).padStart(2, "0")).join("")}`;
}
