import { urlOf } from "../base.ts";
import { t } from "../i18n/index.ts";
import { clientKey } from "./key.ts";

/** An answer that is not a success, in the words of the daemon. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly status: number, readonly code: string, message: string, readonly details: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

export type Gate = "signed-out" | "session-gone";

let onGate: (gate: Gate) => void = () => {};

/** Tells the application that this browser lost its way in; called at most once per failed call. */
export function watchGate(listener: (gate: Gate) => void): void {
  onGate = listener;
}

export interface CallOptions {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"; body?: unknown;
  /** The same key gives the same answer: set it where a repeat must not act twice. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

function headersFor(options: CallOptions): Headers {
  const headers = new Headers({ Accept: "application/json" });
  const key = clientKey();
  if (key !== null) headers.set("X-Kaged-Client", key);
  if (options.body !== undefined) headers.set("Content-Type", "application/json");
  if (options.idempotencyKey !== undefined) headers.set("Idempotency-Key", options.idempotencyKey);
  return headers;
}

function isJson(response: Response): boolean {
  return (response.headers.get("Content-Type") ?? "").startsWith("application/json");
}

async function errorFrom(response: Response): Promise<ApiError> {
  const fallback = t("design:answered", { status: `${response.status} ${response.statusText}`.trim() });
  if (!isJson(response)) return new ApiError(response.status, "unknown", fallback);
  const body: unknown = await response.json().catch(() => null);
  const error = (body as { error?: { code?: string; message?: string; details?: unknown } } | null)?.error;
  const details = typeof error?.details === "object" && error.details !== null ? error.details : {};
  const { code = "unknown", message = fallback } = error ?? {};
  return new ApiError(response.status, code, message, details as Record<string, unknown>);
}

/** One call of `api/v1/<path>`; throws `ApiError`, whose message is meant for people. */
export async function call<T>(path: string, options: CallOptions = {}): Promise<T> {
  const request: RequestInit = {
    method: options.method ?? "GET",
    headers: headersFor(options),
    credentials: "same-origin",
    // A redirect is a sidecar asking for a new login, never an answer.
    redirect: "manual",
    cache: "no-store",
  };
  if (options.body !== undefined) request.body = JSON.stringify(options.body);
  if (options.signal !== undefined) request.signal = options.signal;
  let response: Response;
  try {
    response = await fetch(urlOf(`api/v1/${path}`), request);
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new ApiError(0, "offline", t("design:no_answer"));
  }
  if (response.type === "opaqueredirect" || (response.ok && response.status !== 204 && !isJson(response))) {
    onGate("session-gone");
    throw new ApiError(401, "unauthenticated", t("design:signed_out"));
  }
  if (response.status === 401) onGate("signed-out");
  if (!response.ok) throw await errorFrom(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** A socket was refused and cannot say why: a plain call learns whether the sign-in has ended, and tells the gate. */
export function askWhyRefused(): void {
  call("me").catch(() => {});
}

/** A sentence for any failure, for a toast or an inline notice. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
