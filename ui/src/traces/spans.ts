import { type Frame, num, record, str } from "../journal/events.ts";

/** One run as a waterfall: what took how long, from the journal's times. Pure. */

export type SpanKind = "agent" | "first" | "model" | "tool" | "wait" | "retry";

export interface Span {
  id: string;
  kind: SpanKind;
  /** Sub-agents and what waits inside a call stand one deeper. */
  depth: number;
  name: string;
  /** Milliseconds since the run began; `end` null while it is going on. */
  start: number;
  end: number | null;
  failed: boolean;
  tokens: number;
  cost: number | null;
  /** Number of the event that it begins with, to go to it. */
  seq: number;
}

interface Trace {
  spans: Span[];
  /** Length in milliseconds, to `now` while it is going on. */
  length: number;
  over: boolean;
}

interface Open {
  depth: number;
  /** When the run was last free to ask the model. */
  free: number;
  model: string;
  span: Span;
  /** The last answer of the model. */
  asked: Span | null;
}

/** What an argument of a call says in a few words. */
function about(data: Record<string, unknown>): string {
  const args = record(data["args"]);
  return str(args, "command") || str(args, "path") || str(args, "pattern") || str(args, "agent") || str(args, "question");
}

class Reader {
  readonly spans: Span[] = [];
  readonly runs = new Map<string, Open>();
  readonly calls = new Map<string, Span>();
  readonly messages = new Map<string, Span>();
  readonly waits = new Map<string, Span>();
  readonly #owner = new Map<string, string>();
  #zero: number | null = null;
  over = false;

  constructor(readonly root: string) {}

  since(at: string): number {
    const ms = Date.parse(at);
    this.#zero ??= ms;
    return Math.max(0, ms - this.#zero);
  }

  open(frame: Frame, kind: SpanKind, depth: number, name: string, start = this.since(frame.at)): Span {
    const span: Span = { id: `${kind}-${frame.seq}`, kind, depth, name, start, end: null, failed: false, tokens: 0, cost: null, seq: frame.seq };
    this.spans.push(span);
    return span;
  }

  begin(frame: Frame, run: string, depth: number): void {
    const { data } = frame;
    const model = str(data, "model");
    const span = this.open(frame, "agent", depth, str(data, "agent"));
    this.runs.set(run, { depth: depth + 1, free: span.start, model, span, asked: null });
  }

  /** What a run that ended or was cut off left open has ended with it. */
  close(run: string, at: string): void {
    const end = this.since(at);
    for (const span of [...this.messages.values(), ...this.calls.values(), ...this.waits.values()])
      if (span.end === null && this.#owner.get(span.id) === run) span.end = end;
  }

  own(run: string, span: Span): Span {
    this.#owner.set(span.id, run);
    return span;
  }

  read(frame: Frame): void {
    const { type, data, at } = frame;
    const run = str(data, "run_id");
    if (type === "run.started" && run === this.root) return this.begin(frame, run, 0);
    if (type === "agent.spawned") {
      const parent = this.runs.get(str(data, "parent_run"));
      if (parent !== undefined) this.begin(frame, run, parent.depth + 1);
      return;
    }
    const open = this.runs.get(run);
    if (open === undefined || this.over) return;
    HANDLERS[type]?.(this, frame, open, run);
    if (type === "run.ended" && run === this.root) {
      this.over = true;
      this.since(at);
    }
  }
}

type Handler = (reader: Reader, frame: Frame, open: Open, run: string) => void;

const ended: Handler = (reader, frame, open, run) => {
  open.span.end = reader.since(frame.at);
  open.span.failed = str(frame.data, "outcome") === "failed";
  reader.close(run, frame.at);
};

const HANDLERS: Readonly<Record<string, Handler>> = {
  "message.start": (reader, frame, open, run) => {
    const now = reader.since(frame.at);
    if (now > open.free) {
      const first = reader.own(run, reader.open(frame, "first", open.depth, open.model, open.free));
      first.end = now;
    }
    open.asked = reader.own(run, reader.open(frame, "model", open.depth, open.model));
    reader.messages.set(str(frame.data, "message_id"), open.asked);
  },
  "message.end": (reader, frame, open) => {
    const span = reader.messages.get(str(frame.data, "message_id"));
    open.free = reader.since(frame.at);
    if (span === undefined) return;
    span.end = open.free;
    span.failed = str(frame.data, "stop_reason") === "error";
  },
  "usage.recorded": (_reader, frame, open) => {
    const span = open.asked ?? open.span;
    const { data } = frame;
    span.tokens += num(data, "input_tokens") + num(data, "output_tokens") + num(data, "cache_read_tokens") + num(data, "cache_write_tokens");
    if (typeof data["cost"] === "number") span.cost = (span.cost ?? 0) + num(data, "cost");
  },
  "tool.call": (reader, frame, open, run) => {
    const name = `${str(frame.data, "tool")} ${about(frame.data)}`.trim();
    reader.calls.set(str(frame.data, "call_id"), reader.own(run, reader.open(frame, "tool", open.depth, name)));
  },
  "tool.result": (reader, frame, open) => {
    const span = reader.calls.get(str(frame.data, "call_id"));
    open.free = reader.since(frame.at);
    if (span === undefined) return;
    span.end = open.free;
    span.failed = frame.data["ok"] === false;
  },
  "attention.required": (reader, frame, open, run) => {
    const span = reader.own(run, reader.open(frame, "wait", open.depth + 1, str(frame.data, "kind")));
    reader.waits.set(str(frame.data, "attention_id"), span);
  },
  "attention.resolved": (reader, frame) => {
    const span = reader.waits.get(str(frame.data, "attention_id"));
    if (span !== undefined) span.end = reader.since(frame.at);
  },
  error: (reader, frame, open, run) => {
    const span = reader.own(run, reader.open(frame, "retry", open.depth, str(frame.data, "code")));
    open.free = span.start + num(frame.data, "retry_in_s") * 1000;
    span.end = open.free;
    span.failed = true;
  },
  "agent.finished": ended,
  "run.ended": ended,
  "run.interrupted": (reader, frame, _open, run) => reader.close(run, frame.at),
};

/** The spans of run `root`, in the order in which they began. `now` is the daemon's time in milliseconds. */
export function trace(frames: readonly Frame[], root: string, now: number): Trace {
  const reader = new Reader(root);
  for (const frame of frames) reader.read(frame);
  const ends = reader.spans.map((span) => span.end ?? span.start);
  const length = Math.max(1, ...ends, reader.over ? 0 : reader.since(new Date(now).toISOString()));
  return { spans: reader.spans, length, over: reader.over };
}
