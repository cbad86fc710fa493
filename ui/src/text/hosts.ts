/** `host:443`, or the host alone when no port is known. */
export function hostPort(host: string, port: number): string {
  return port === 0 ? host : `${host}:${port}`;
}

/** Whether a list of `host:port` holds a host; `*.x` stands for everything below x, `*` for any. */
export function covers(allow: readonly string[], host: string, port: number): boolean {
  const below = host.split(".").map((_, index, labels) => ["*", ...labels.slice(index)].join("."));
  return [host, "*", ...below.slice(1)].some((name) => allow.includes(`${name}:${port}`));
}
