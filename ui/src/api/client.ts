import type { Frame } from "../journal/events.ts";
import { call } from "./http.ts";
import type {
  AttachmentDraft, AuditRecord, Browser, Checkpoint, Clone, Diff, Driver, FoundFile, Local, Me, Member, MessageMode,
  Page, Project, ProjectFiles, ProjectNetwork, ProjectRole, ProviderTest, Question, QueueReport, Restored, Session,
  SystemReport, Task, Terminal, UsageRow, User, Versions, Waiting, What, Worktree,
} from "./types.ts";

const seg = encodeURIComponent;

const post = <T>(path: string, body: unknown = {}, idempotencyKey?: string): Promise<T> =>
  call<T>(path, { method: "POST", body, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) });
const put = <T>(path: string, body: unknown): Promise<T> => call<T>(path, { method: "PUT", body });
const patch = <T>(path: string, body: unknown): Promise<T> => call<T>(path, { method: "PATCH", body });
const remove = (path: string): Promise<void> => call<void>(path, { method: "DELETE" });
/** One more part of a query, where there is something to ask for. */
const also = (name: string, value: string | null | undefined): string => (value ? `&${name}=${seg(value)}` : "");

const sessionPath = (project: string, session: string): string => `projects/${seg(project)}/sessions/${seg(session)}`;

export interface ProviderDraft {
  driver: Driver; base_url?: string; api_key?: string; api_key_env?: string; model?: string;
}

export const api = {
  me: () => call<Me>("me"),
  browsers: () => call<Page<Browser>>("me/browsers"),
  signOut: (browser: string) => remove(`me/browsers/${seg(browser)}`),
  versions: () => call<Versions>("versions"),

  projects: () => call<Page<Project>>("projects?limit=200"),
  loadProject: (body: { path: string; trust?: boolean; create?: boolean }) => post<Project>("projects/load", body),
  cloneProject: (url: string) => post<Clone>("projects/clone", { url }),
  clone: (id: string) => call<Clone>(`clones/${seg(id)}`),
  cancelClone: (id: string) => remove(`clones/${seg(id)}`),
  project: (slug: string) => call<Project>(`projects/${seg(slug)}`),
  forgetProject: (slug: string) => remove(`projects/${seg(slug)}`),
  trustProject: (slug: string, hash: string) => post<Project>(`projects/${seg(slug)}/trust`, { hash }),
  network: (slug: string) => call<ProjectNetwork>(`projects/${seg(slug)}/network`),
  setNetwork: (slug: string, body: Partial<Pick<ProjectNetwork, "mode" | "allow">>) =>
    put<Project>(`projects/${seg(slug)}/network`, body),
  findFiles: (slug: string, find: string, signal: AbortSignal) =>
    call<Page<FoundFile>>(`projects/${seg(slug)}/files?find=${seg(find)}&limit=12`, { signal }),
  projectFiles: (slug: string) => call<ProjectFiles>(`projects/${seg(slug)}/dsl`),

  checkProject: (slug: string, text: string) => post<Project>(`projects/${seg(slug)}/dsl/check`, { text }),
  writeProject: (slug: string, text: string, seen: string) => put<Project>(`projects/${seg(slug)}/dsl`, { text, seen }),

  users: () => call<Page<User>>("users?limit=500"),
  members: (slug: string) => call<Page<Member>>(`projects/${seg(slug)}/members`),
  setMember: (slug: string, user: string, role: ProjectRole) =>
    put<void>(`projects/${seg(slug)}/members`, { user, role }),
  removeMember: (slug: string, user: string) => remove(`projects/${seg(slug)}/members?user=${seg(user)}`),

  sessions: (slug: string, cursor?: string | null) =>
    call<Page<Session>>(`projects/${seg(slug)}/sessions?limit=30${also("cursor", cursor)}`),
  session: (slug: string, sid: string) => call<Session>(sessionPath(slug, sid)),
  createSession: (slug: string, body: { title?: string; workspace?: "worktree" } = {}, idempotencyKey?: string) =>
    post<Session>(`projects/${seg(slug)}/sessions`, body, idempotencyKey),
  renameSession: (slug: string, sid: string, title: string) => patch<Session>(sessionPath(slug, sid), { title }),
  archiveSession: (slug: string, sid: string, force: boolean) =>
    remove(`${sessionPath(slug, sid)}${force ? "?force=true" : ""}`),
  events: (slug: string, sid: string, after: number, limit: number, signal?: AbortSignal) =>
    call<{ items: Frame[] }>(`${sessionPath(slug, sid)}/events?after=${after}&limit=${limit}`, signal ? { signal } : {}),
  checkpoints: (slug: string, sid: string, cursor?: string | null) =>
    call<Page<Checkpoint>>(`${sessionPath(slug, sid)}/checkpoints?limit=50${also("cursor", cursor)}`),
  nameCheckpoint: (slug: string, sid: string, name: string, ignored: boolean) =>
    post<Checkpoint>(`${sessionPath(slug, sid)}/checkpoints`, { name, ignored }),
  checkpointDiff: (slug: string, sid: string, a: string, b: string) =>
    call<Diff>(`${sessionPath(slug, sid)}/checkpoints/diff?a=${seg(a)}&b=${seg(b)}`),
  rollback: (slug: string, sid: string, checkpoint: string, what: What, force: boolean) =>
    post<Restored>(`${sessionPath(slug, sid)}/rollback`, { checkpoint, what, force }),
  worktree: (slug: string, sid: string) => call<Worktree>(`${sessionPath(slug, sid)}/worktree`),
  actOnWorktree: (slug: string, sid: string, act: "merge" | "branch" | "discard", body: { name?: string } = {}) =>
    post<Worktree>(`${sessionPath(slug, sid)}/worktree/${act}`, body),
  send: (slug: string, sid: string, text: string, mode: MessageMode, attachments: AttachmentDraft[], idempotencyKey: string) =>
    post<{ message_id: string; run_id: string | null; state: "started" | "queued" | "steering" }>(
      `${sessionPath(slug, sid)}/messages`, { text, mode, ...(attachments.length === 0 ? {} : { attachments }) }, idempotencyKey,
    ),
  editMessage: (slug: string, sid: string, id: string, body: { text?: string; mode?: MessageMode; before?: string | null }) =>
    patch<Waiting>(`${sessionPath(slug, sid)}/messages/${seg(id)}`, body),
  withdrawMessage: (slug: string, sid: string, id: string) => remove(`${sessionPath(slug, sid)}/messages/${seg(id)}`),
  queue: () => call<QueueReport>("system/queue"),
  moveQueued: (session: string, before: string | null) => post<QueueReport>("system/queue", { session, before }),
  interrupt: (slug: string, sid: string, runId: string | null) =>
    post<{ stopped: string[] }>(`${sessionPath(slug, sid)}/interrupt`, runId === null ? {} : { run_id: runId }),
  resume: (slug: string, sid: string) => post<{ run_id: string }>(`${sessionPath(slug, sid)}/resume`),
  answer: (slug: string, sid: string, attention: string, answer: string) =>
    post<unknown>(`${sessionPath(slug, sid)}/attention/${seg(attention)}`, { answer }),

  channels: () => call<Page<{ id: string; key?: string }>>("notifications/channels"),
  subscribe: (body: { endpoint: string; p256dh: string; auth: string; label: string }) =>
    post<{ id: string }>("notifications/subscriptions", body),
  unsubscribe: (id: string) => remove(`notifications/subscriptions/${seg(id)}`),
  testPush: (id: string) => post<void>(`notifications/subscriptions/${seg(id)}/test`),

  attention: () => call<Page<Question>>("attention?limit=200"),

  terminals: (session: string | null) => call<Page<Terminal>>(`terminals?limit=100${also("session", session)}`),
  tasks: (slug: string) => call<Page<Task>>(`projects/${seg(slug)}/tasks`),
  startTask: (slug: string, name: string) =>
    post<Terminal>(`projects/${seg(slug)}/tasks/${seg(name)}/start`, { cols: 100, rows: 30 }),
  terminal: (id: string) => call<Terminal>(`terminals/${seg(id)}`),
  createTerminal: (body: { kind: "cage" | "host"; project?: string; session?: string; cols: number; rows: number }) =>
    post<Terminal>("terminals", body),
  closeTerminal: (id: string) => remove(`terminals/${seg(id)}`),

  local: () => call<Local>("local"),
  tryProvider: (draft: ProviderDraft) => post<ProviderTest>("local/test", draft),
  testProvider: (name: string) => post<ProviderTest>(`local/providers/${seg(name)}/test`),
  saveProvider: (name: string, draft: ProviderDraft & { make_default?: boolean }) =>
    put<unknown>(`local/providers/${seg(name)}`, draft),
  removeProvider: (name: string) => remove(`local/providers/${seg(name)}`),
  setAlias: (alias: string, target: string) => put<unknown>(`local/aliases/${seg(alias)}`, { target }),

  audit: (cursor?: string | null) => call<Page<AuditRecord>>(`audit?limit=100${also("cursor", cursor)}`),
  verifyAudit: () => call<Record<string, unknown>>("audit/verify"),
  usage: (since: string, offset: number) => call<Page<UsageRow>>(`usage?since=${seg(since)}&offset=${offset}`),
  system: () => call<SystemReport>("system"),
};
