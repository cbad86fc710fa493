/** The shapes of the HTTP API that the console uses. */

export interface Me {
  id: string; name: string | null; email: string | null; role: "admin" | "member"; mode: "user" | "system";
  source: string;
  /** The roles given to this member; an admin has them all. */
  projects: Record<string, ProjectRole>;
  /** Whether this caller may open a terminal on the host, outside every cage. */
  host_terminals: boolean;
  warnings: string[];
  /** Where the sidecar ends its session; empty where there is no such place. */
  logout_url: string;
  operator_name: string | null;
}

export type ProjectRole = "viewer" | "editor" | "owner";

export interface Member {
  id: string; name: string | null; email: string | null; role: ProjectRole;
}

export interface User {
  source: string; id: string; name: string | null; email: string | null; first_seen_at: string; last_seen_at: string;
  admin: "config" | "claim" | null; projects: Record<string, ProjectRole>;
}

/** The calls of one model by one agent of one project on one day; `cost` in US dollars, without the `unpriced` calls. */
export interface UsageRow {
  day: string; project: string; agent: string; provider: string; model: string; calls: number; input_tokens: number;
  output_tokens: number; cache_read_tokens: number; cache_write_tokens: number; cost: number; unpriced: number;
  estimated: number;
}

export interface Page<T> {
  items: T[]; next: string | null;
}

export interface Route {
  provider: string; model: string; label: string;
}

/** A clone of a project from a git URL: under way, or how it ended. */
export interface Clone {
  id: string; url: string; slug: string; state: "running" | "done" | "failed" | "cancelled"; progress: string;
  bytes: number; problem: string | null; project: string | null;
}

export interface Project {
  slug: string; path: string; role: ProjectRole; description: string | null; trust: "trusted" | "changed" | "untrusted";
  hash: string | null;
  /** How far a snapshot of many of its files is. */
  snapshot: { done: number; total: number } | null;
  problems: string[]; model: string | null; route: Route | null; cage: { words: string; explain: string[] } | null;
  sample: boolean; created_at: string;
}

/** One host and port that the project's sessions reached or tried. */
export type SeenHost = Record<"host" | "last_at" | "via" | "rule" | "reason", string> &
  Record<"port" | "allowed" | "denied" | "up" | "down", number>;

export interface ProjectNetwork {
  mode: "enforce" | "ask" | "learn"; allow: string[]; seen: SeenHost[]; proposal: string[];
}

export type SessionState = "idle" | "queued" | "running" | "waiting" | "archived";

/** When a message that comes while a run is going is given to the agent: after it, or at its next step. */
export type MessageMode = "queue" | "steer";

/** A message that waits for its turn. */
export interface Waiting {
  id: string; text: string; mode: MessageMode; actor: string; at: string;
  /** Names of the files that came with it. */
  attachments?: string[];
}

/** A small file to send along: the text of `text/plain`, else an image in base64. */
export interface AttachmentDraft {
  name: string; type: string; data: string;
}

/** A file or folder of a project, found by a part of its path. */
export interface FoundFile {
  path: string; kind: string; size: number | null;
}

export interface QueueRow {
  id: string; project: string; title: string; state: SessionState; waiting: number;
  /** Of one that waits: which limit keeps it waiting, and whose runs those are. */
  reason?: FullLimit | null;
}

export interface FullLimit {
  limit: "runs" | "runs_per_project" | "runs_per_user"; now: number; most: number; person: string;
}

/** Runs at work, and the sessions that wait for a free place. */
export interface QueueReport {
  limits: { runs: number; per_project: number; per_user: number }; at_work: number; mine: number; running: QueueRow[];
  items: QueueRow[];
}

export interface Session {
  id: string; project: string; title: string; state: SessionState;
  run: { id: string; state: string; model: string | null; provider: string | null } | null; head: number;
  created_at: string; updated_at: string; created_by: string; workspace: "project" | "worktree";
}

export interface Checkpoint {
  id: string; name: string | null; auto: "run" | "step" | "restore" | null; ignored: boolean; files_changed: number;
  created_at: string;
}

export interface Diff {
  files: { path: string; status: string; added: number | null; deleted: number | null }[]; count: number; patch: string;
  cut: boolean;
}

export type What = "both" | "conversation" | "files";

export interface Restored {
  checkpoint_id: string; undo: string; files_changed: number;
}

export interface Worktree {
  branch: string; into: string | null; ahead: number; unkept: number; changes: { count: number; names: string[] };
}

/** An open question of any session; `approval` is the call that it is about, if it is about one. */
export interface Question {
  id: string; session: string; project: string; kind: "ask" | "checkpoint" | "approval_gate"; question: string;
  created_at: string; risk: number; approval: Record<string, unknown> | null;
  /** The connection that waits at the network gate, if it is one. */
  network: { host: string; port: number } | null;
  call_id: string; options: string[];
  /** Who asks, by path. */
  agent: string;
}

export interface Terminal {
  id: string; kind: "cage" | "host"; project: string | null; session: string | null;
  /** The task of the project that it runs. */
  task: string | null;
  title: string; cols: number; rows: number; state: "open" | "exited"; exit_code: number | null; created_at: string;
}

/** A command that the project file names, and the terminal of its last run. */
export interface Task {
  name: string; run: string; description: string | null; last: Terminal | null;
}

/** A browser that a launch URL has signed in. */
export type Browser = Record<"id" | "created_at" | "expires_at" | "last_seen_at", string>;

export type Driver = "anthropic" | "openai";

export interface Provider {
  name: string; driver: string; base_url: string | null; key: string; source: "file" | "environment" | "builtin";
}

export interface Local {
  operator_name: string | null; aliases: Record<string, string>; providers: Provider[]; default: Route | null;
}

export interface ProviderTest {
  ok: boolean; message: string; models: string[]; latency_ms: number | null;
}

export interface ProjectFiles {
  /** As they are now and as they were trusted last; null where there is no such file. */
  files: { path: string; text: string | null; trusted: string | null }[];
}

export interface AuditRecord {
  seq: number; at: string; actor: unknown; action: string; object: string;
  outcome: "allowed" | "denied" | "ok" | "failed"; details: Record<string, unknown>;
}

export interface SystemReport {
  daemon: { pid: number; started_at: string; version: string; mode: string; bind: string };
  keeper: { pid: number; version: string; limits: string } | null; cages: Record<string, unknown>[]; running: number;
  checks: { name: string; ok: boolean; detail: string; fix: string | null }[];
}

export interface Versions {
  kaged: string; api: string; ui: string | null;
}
