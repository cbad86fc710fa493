export interface Command {
  name: string; words: string;
  /** What may stand after it, as a word. */
  argument?: string;
  run: (argument: string) => unknown;
}

/** The command that a whole line is, with its argument; null for a message, also one that begins with a path. */
export function commandIn(text: string, commands: readonly Command[]): { command: Command; argument: string } | null {
  const match = /^\/([a-z]+)(?:\s+([^\n]*))?$/.exec(text.trim());
  const command = commands.find(({ name }) => name === match?.[1]);
  const argument = (match?.[2] ?? "").trim();
  return command === undefined || (argument !== "" && command.argument === undefined) ? null : { command, argument };
}

/** What is being typed just before the caret: a command at the very beginning, or a file after `@`. */
export function wordAt(text: string, caret: number): { kind: "command" | "file"; from: number; word: string } | null {
  const before = text.slice(0, caret);
  const command = /^\/([a-z]*)$/.exec(before);
  if (command !== null) return { kind: "command", from: 0, word: command[1] ?? "" };
  const file = /(?:^|\s)@([^\s@]*)$/.exec(before);
  return file === null ? null : { kind: "file", from: caret - (file[1] ?? "").length - 1, word: file[1] ?? "" };
}
