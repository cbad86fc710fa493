import type { Frame } from "./events.ts";
import { type Item, NO_USAGE, type Run, type TextItem, type ToolItem, type Transcript } from "./model.ts";

/** Live output kept of one call, in characters; the whole of it stays in the journal. */
export const OUTPUT_KEPT = 200_000;

export type Handler = (draft: Draft, data: Record<string, unknown>, frame: Frame) => void;

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type Plain = Omit<Transcript, "items" | "runs" | "agents">;
/** What is copied as it is, and may be written. */
export interface Draft extends Writable<Plain> {}

/**
 * A transcript being advanced by a batch of events. Arrays and records are copied once a batch, rows when they
 * change, so rows that did not change keep their identity and are not rendered again.
 */
export class Draft {
  readonly #above: Draft | null;
  readonly #subs = new Map<string, Draft>();
  readonly #base: Transcript;
  #items: Item[] | null = null;
  #runs: Record<string, Run> | null = null;

  constructor(base: Transcript, above: Draft | null = null) {
    const { items: _items, runs: _runs, agents: _agents, ...plain } = base;
    Object.assign(this, plain);
    this.#base = base;
    this.#above = above;
  }

  finish(): Transcript {
    return { ...this, items: this.items, runs: this.runs, agents: this.#finishSubs() };
  }

  /** What the run above a sub-agent's is part of. */
  get above(): Draft | null {
    return this.#above;
  }

  #finishSubs(): Transcript["agents"] {
    if (this.#subs.size === 0) return this.#base.agents;
    const changed = Array.from(this.#subs, ([id, sub]): [string, Transcript] => [id, sub.finish()]);
    return { ...this.#base.agents, ...Object.fromEntries(changed) };
  }

  /** What an event of that run belongs to: a sub-agent's transcript, or this one. */
  of(runId: string): Draft {
    const base = this.#base.agents[runId];
    return this.#subs.get(runId) ?? (base === undefined ? this : this.sub(runId, base));
  }

  /** A sub-agent's transcript, to be changed. */
  sub(runId: string, base: Transcript): Draft {
    const parent = base.facts === null ? this : this.of(base.facts.parentRun);
    const made = new Draft(base, parent);
    this.#subs.set(runId, made);
    return made;
  }

  /** The sub-agents that have not ended, by their run. */
  openSubs(): [string, Draft][] {
    const ids = [...new Set([...Object.keys(this.#base.agents), ...this.#subs.keys()])];
    const state = (id: string): string => (this.#subs.get(id) ?? this.#base.agents[id])?.runs[id]?.state ?? "";
    const open = ids.filter((id) => ["running", "waiting", "interrupted"].includes(state(id)));
    return open.map((id) => [id, this.of(id)]);
  }

  get runs(): Transcript["runs"] {
    return this.#runs ?? this.#base.runs;
  }

  get items(): readonly Item[] {
    return this.#items ?? this.#base.items;
  }

  #own(): Item[] {
    this.#items ??= [...this.#base.items];
    return this.#items;
  }

  push(item: Item): void {
    this.#own().push(this.#stamped(item));
  }

  #stamped<T extends Item>(item: T): T {
    return item.seq === undefined ? { ...item, seq: this.seq } : item;
  }

  replaceAt<T extends Item>(index: number, changed: T): void {
    this.#own()[index] = changed;
  }

  splice(at: number, remove: number, ...insert: Item[]): void {
    this.#own().splice(at, remove, ...insert.map((item) => this.#stamped(item)));
  }

  /** Where rows go that say nothing of the run: before notices at the end, which the run has yet to settle. */
  end(): number {
    return this.items.findLastIndex((item) => item.kind !== "notice") + 1;
  }

  run(id: string): Run | undefined {
    return this.runs[id];
  }

  setRun(id: string, change: Partial<Run>): void {
    this.#runs ??= { ...this.#base.runs };
    this.#runs[id] = { ...(this.#runs[id] ?? emptyRun(id)), ...change };
  }

  findTool(callId: string): { index: number; item: ToolItem } | null {
    return this.#find((item): item is ToolItem => item.kind === "tool" && item.callId === callId);
  }

  findPart(messageId: string, part: number): { index: number; item: TextItem | ToolItem } | null {
    const is = (item: Item): item is TextItem | ToolItem => "messageId" in item && item.messageId === messageId && item.part === part;
    return this.#find(is);
  }

  /** Rows are looked for from the end: what changes is nearly always among the last few. */
  #find<T extends Item>(is: (item: Item) => item is T): { index: number; item: T } | null {
    const index = this.items.findLastIndex(is);
    return index === -1 ? null : { index, item: this.items[index] as T };
  }

  /** Every row of a run, newest first. */
  changeRun(runId: string, change: (item: Item) => Item): void {
    for (let index = this.items.length - 1; index >= 0; index--) {
      const item = this.items[index];
      if (item === undefined || !("runId" in item) || item.runId !== runId) continue;
      const changed = change(item);
      if (changed !== item) this.replaceAt(index, changed);
    }
  }
}

function emptyRun(id: string): Run {
  const unknown = { model: "", provider: "", cage: "", startedAt: "", endedAt: "", reason: "", actor: "" };
  return { id, state: "running", ...unknown, stopped: [], stillRunning: [], instructions: [], usage: NO_USAGE, whole: NO_USAGE };
}

export function newTool(callId: string, tool: string, runId: string, messageId: string, part: number): ToolItem {
  const output = { output: "", outputCut: 0, outputBytes: 0, result: "", detail: {}, durationMs: null };
  const call = { args: {}, rawArgs: "", argsError: "", deniedReasons: [], attention: null, network: [] };
  return { kind: "tool", key: `call:${callId}`, runId, messageId, part, callId, tool, state: "writing", startedAt: "", ...call, ...output };
}

/** Appends live output and keeps its tail, cut at a line where one is near. */
export function withOutput(item: ToolItem, text: string): ToolItem {
  const whole = item.output + text;
  if (whole.length <= OUTPUT_KEPT) return { ...item, output: whole };
  let from = whole.length - OUTPUT_KEPT;
  const line = whole.indexOf("\n", from);
  if (line !== -1 && line - from < 4096) from = line + 1;
  return { ...item, output: whole.slice(from), outputCut: item.outputCut + from };
}
