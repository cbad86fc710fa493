import type { Frame } from "../journal/events.ts";
import { call } from "./http.ts";
import type {
  AttachmentDraft,
  AuditRecord,
  Browser,
  Checkpoint,
  Clone,
  Diff,
  Driver,
  FoundFile,
  Local,
  Me,
  Member,
  MessageMode,
  Page,
  Project,
  ProjectFiles,
  ProjectNetwork,
  ProjectRole,
  ProviderTest,
  Question,
  QueueReport,
  Restored,
  Session,
  SystemReport,
  Task,
  Terminal,
  UsageRow,
  User,
  Versions,
  Waiting,
  What,
  Worktree,
} from "./types.ts";

const seg = encodeURIComponent;
const sessionPath = (project: string, session: string): string => `projects/${seg(project)}/sessions/${seg(session)}`;

export interface ProviderDraft {
  driver: Driver;
  base_url?: string;
  api_key?: string;
  api_key_env?: string;
  model?: string;
}

export const api = {
  me: () => call<Me>("me"),
  browsers: () => call<Page<Browser>>("me/browsers"),
  signOut: (browser: string) => call<void>(`me/browsers/${seg(browser)}`, { method: "DELETE" }),
  versions: () => call<Versions>("versions"),

  projects: () => call<Page<Project>>("projects?limit=200"),
  loadProject: (body: { path: string; trust?: boolean; create?: boolean }) =>
    call<Project>("projects/load", { method: "POST", body }),
  cloneProject: (url: string) => call<Clone>("projects/clone", { method: "POST", body: { url } }),
  clone: (id: string) => call<Clone>(`clones/${seg(id)}`),
  cancelClone: (id: string) => call<void>(`clones/${seg(id)}`, { method: "DELETE" }),
  project: (slug: string) => call<Project>(`projects/${seg(slug)}`),
  forgetProject: (slug: string) => call<void>(`projects/${seg(slug)}`, { method: "DELETE" }),
  trustProject: (slug: string, hash: string) =>
    call<Project>(`projects/${seg(slug)}/trust`, { method: "POST", body: { hash } }),
  network: (slug: string) => call<ProjectNetwork>(`projects/${seg(slug)}/network`),
  setNetwork: (slug: string, body: Partial<Pick<ProjectNetwork, "mode" | "allow">>) =>
    call<Project>(`projects/${seg(slug)}/network`, { method: "PUT", body }),
  findFiles: (slug: string, find: string, signal: AbortSignal) =>
    call<Page<FoundFile>>(`projects/${seg(slug)}/files?find=${seg(find)}&limit=12`, { signal }),
  projectFiles: (slug: string) => call<ProjectFiles>(`projects/${seg(slug)}/dsl`),

  checkProject: (slug: string, text: string) =>
    call<Project>(`projects/${seg(slug)}/dsl/check`, { method: "POST", body: { text } }),
  writeProject: (slug: string, text: string, seen: string) =>
    call<Project>(`projects/${seg(slug)}/dsl`, { method: "PUT", body: { text, seen } }),

  users: () => call<Page<User>>("users?limit=500"),
  members: (slug: string) => call<Page<Member>>(`projects/${seg(slug)}/members`),
  setMember: (slug: string, user: string, role: ProjectRole) =>
    call<void>(`projects/${seg(slug)}/members`, { method: "PUT", body: { user, role } }),
  removeMember: (slug: string, user: string) =>
    call<void>(`projects/${seg(slug)}/members?user=${seg(user)}`, { method: "DELETE" }),

  sessions: (slug: string, cursor?: string | null) =>
    call<Page<Session>>(`projects/${seg(slug)}/sessions?limit=30${cursor ? `&cursor=${seg(cursor)}` : ""}`),
  session: (slug: string, sid: string) => call<Session>(sessionPath(slug, sid)),
  createSession: (slug: string, body: { title?: string; workspace?: "worktree" } = {}, idempotencyKey?: string) =>
    call<Session>(`projects/${seg(slug)}/sessions`, {
      method: "POST",
      body,
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    }),
  renameSession: (slug: string, sid: string, title: string) =>
    call<Session>(sessionPath(slug, sid), { method: "PATCH", body: { title } }),
  archiveSession: (slug: string, sid: string, force: boolean) =>
    call<void>(`${sessionPath(slug, sid)}${force ? "?force=true" : ""}`, { method: "DELETE" }),
  events: (slug: string, sid: string, after: number, limit: number, signal?: AbortSignal) =>
    call<{ items: Frame[] }>(`${sessionPath(slug, sid)}/events?after=${after}&limit=${limit}`, signal ? { signal } : {}),
  checkpoints: (slug: string, sid: string, cursor?: string | null) =>
    call<Page<Checkpoint>>(`${sessionPath(slug, sid)}/checkpoints?limit=50${cursor ? `&cursor=${seg(cursor)}` : ""}`),
  nameCheckpoint: (slug: string, sid: string, name: string, ignored: boolean) =>
    call<Checkpoint>(`${sessionPath(slug, sid)}/checkpoints`, { method: "POST", body: { name, ignored } }),
  checkpointDiff: (slug: string, sid: string, a: string, b: string) =>
    call<Diff>(`${sessionPath(slug, sid)}/checkpoints/diff?a=${seg(a)}&b=${seg(b)}`),
  rollback: (slug: string, sid: string, checkpoint: string, what: What, force: boolean) =>
    call<Restored>(`${sessionPath(slug, sid)}/rollback`, { method: "POST", body: { checkpoint, what, force } }),
  worktree: (slug: string, sid: string) => call<Worktree>(`${sessionPath(slug, sid)}/worktree`),
  actOnWorktree: (slug: string, sid: string, act: "merge" | "branch" | "discard", body: { name?: string } = {}) =>
    call<Worktree>(`${sessionPath(slug, sid)}/worktree/${act}`, { method: "POST", body }),
  send: (slug: string, sid: string, text: string, mode: MessageMode, attachments: AttachmentDraft[], idempotencyKey: string) =>
    call<{ message_id: string; run_id: string | null; state: "started" | "queued" | "steering" }>(
      `${sessionPath(slug, sid)}/messages`,
      { method: "POST", body: { text, mode, ...(attachments.length === 0 ? {} : { attachments }) }, idempotencyKey },
    ),
  editMessage: (
    slug: string,
    sid: string,
    id: string,
    body: { text?: string; mode?: MessageMode; before?: string | null },
  ) => call<Waiting>(`${sessionPath(slug, sid)}/messages/${seg(id)}`, { method: "PATCH", body }),
  withdrawMessage: (slug: string, sid: string, id: string) =>
    call<void>(`${sessionPath(slug, sid)}/messages/${seg(id)}`, { method: "DELETE" }),
  queue: () => call<QueueReport>("system/queue"),
  moveQueued: (session: string, before: string | null) =>
    call<QueueReport>("system/queue", { method: "POST", body: { session, before } }),
  interrupt: (slug: string, sid: string, runId: string | null) =>
    call<{ run_id: string; stopped: string[] }>(`${sessionPath(slug, sid)}/interrupt`, {
      method: "POST",
      body: runId === null ? {} : { run_id: runId },
    }),
  resume: (slug: string, sid: string) =>
    call<{ run_id: string }>(`${sessionPath(slug, sid)}/resume`, { method: "POST", body: {} }),
  answer: (slug: string, sid: string, attention: string, answer: string) =>
    call<unknown>(`${sessionPath(slug, sid)}/attention/${seg(attention)}`, { method: "POST", body: { answer } }),

  channels: () => call<Page<{ id: string; key?: string }>>("notifications/channels"),
  subscribe: (body: { endpoint: string; p256dh: string; auth: string; label: string }) =>
    call<{ id: string }>("notifications/subscriptions", { method: "POST", body }),
  unsubscribe: (id: string) => call<void>(`notifications/subscriptions/${seg(id)}`, { method: "DELETE" }),
  testPush: (id: string) => call<void>(`notifications/subscriptions/${seg(id)}/test`, { method: "POST", body: {} }),

  attention: () => call<Page<Question>>("attention?limit=200"),

  terminals: (session: string | null) =>
    call<Page<Terminal>>(`terminals?limit=100${session === null ? "" : `&session=${seg(session)}`}`),
  tasks: (slug: string) => call<Page<Task>>(`projects/${seg(slug)}/tasks`),
  startTask: (slug: string, name: string) =>
    call<Terminal>(`projects/${seg(slug)}/tasks/${seg(name)}/start`, { method: "POST", body: { cols: 100, rows: 30 } }),
  terminal: (id: string) => call<Terminal>(`terminals/${seg(id)}`),
  createTerminal: (body: { kind: "cage" | "host"; project?: string; session?: string; cols: number; rows: number }) =>
    call<Terminal>("terminals", { method: "POST", body }),
  closeTerminal: (id: string) => call<void>(`terminals/${seg(id)}`, { method: "DELETE" }),

  local: () => call<Local>("local"),
  tryProvider: (draft: ProviderDraft) => call<ProviderTest>("local/test", { method: "POST", body: draft }),
  testProvider: (name: string) => call<ProviderTest>(`local/providers/${seg(name)}/test`, { method: "POST", body: {} }),
  saveProvider: (name: string, draft: ProviderDraft & { make_default?: boolean }) =>
    call<unknown>(`local/providers/${seg(name)}`, { method: "PUT", body: draft }),
  removeProvider: (name: string) => call<void>(`local/providers/${seg(name)}`, { method: "DELETE" }),
  setAlias: (alias: string, target: string) =>
    call<unknown>(`local/aliases/${seg(alias)}`, { method: "PUT", body: { target } }),

  audit: (cursor?: string | null) =>
    call<Page<AuditRecord>>(`audit?limit=100${cursor ? `&cursor=${seg(cursor)}` : ""}`),
  verifyAudit: () => call<Record<string, unknown>>("audit/verify"),
  usage: (since: string, offset: number) => call<Page<UsageRow>>(`usage?since=${seg(since)}&offset=${offset}`),
  system: () => call<SystemReport>("system"),
};
