/**
 * Reads a JSON object that is still arriving: closes what is open and drops what cannot be closed.
 * Gives `{}` when not even that can be read. For display only.
 */
export function partialObject(text: string): Record<string, unknown> {
  for (const candidate of [text, closed(text), closed(text.slice(0, lastSafe(text)))]) {
    try {
      const value: unknown = JSON.parse(candidate);
      if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    } catch {
      // Not readable in this form: try the next, shorter one.
    }
  }
  return {};
}

interface Scan {
  stack: string[];
  inString: boolean;
  escaped: boolean;
  /** Index of the last comma or opening bracket outside strings. */
  safe: number;
}

function scan(text: string): Scan {
  const state: Scan = { stack: [], inString: false, escaped: false, safe: 0 };
  for (let index = 0; index < text.length; index++) {
    const char = text[index];
    if (state.inString) {
      if (state.escaped) state.escaped = false;
      else if (char === "\\") state.escaped = true;
      else if (char === '"') state.inString = false;
    } else if (char === '"') state.inString = true;
    else if (char === "{" || char === "[") {
      state.stack.push(char === "{" ? "}" : "]");
      state.safe = index + 1;
    } else if (char === "}" || char === "]") state.stack.pop();
    else if (char === ",") state.safe = index;
  }
  return state;
}

function lastSafe(text: string): number {
  return scan(text).safe;
}

function closed(text: string): string {
  const state = scan(text);
  let body = text;
  if (state.escaped) body = body.slice(0, -1);
  if (state.inString) body = `${body.replace(/\\u[0-9a-fA-F]{0,3}$/, "")}"`;
  return body + state.stack.toReversed().join("");
}
