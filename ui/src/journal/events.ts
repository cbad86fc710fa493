/** A committed event as the socket and `GET …/events` carry it; `seq` counts within its channel. */
export interface Frame {
  channel: string; seq: number; at: string; type: string; data: Record<string, unknown>;
}

/** Readers of event data: shapes grow by optional keys, so a missing or odd key is never an error here. */
export function str(data: Record<string, unknown>, key: string): string {
  const value = data[key];
  return typeof value === "string" ? value : "";
}

export function num(data: Record<string, unknown>, key: string): number {
  const value = data[key];
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

export function list(data: Record<string, unknown>, key: string): unknown[] {
  const value = data[key];
  return Array.isArray(value) ? value : [];
}

export function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A person's name out of an actor, which is an id or an object with one. */
export function actorName(value: unknown): string {
  if (typeof value === "string") return value;
  const actor = record(value);
  return str(actor, "name") || str(actor, "id");
}

/** A line for each entry of a list of names or of objects that describe one (`command`, `tool`, `call_id`). */
export function names(values: unknown[]): string[] {
  return values.map((value) => {
    if (typeof value === "string") return value;
    const entry = record(value);
    return str(entry, "command") || str(entry, "title") || str(entry, "tool") || str(entry, "call_id");
  });
}
