import type { ReactNode } from "react";
import { api } from "../api/client.ts";
import type { Project, SeenHost } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Notice } from "../design/parts.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { StateView } from "../design/StateView.tsx";
import { Table } from "../design/Table.tsx";
import { useWork } from "../design/work.ts";
import { t } from "../i18n/index.ts";
import { lacks } from "../state/rights.ts";
import { toast, toastError } from "../state/toasts.ts";
import { placeProject } from "../state/workspace.ts";
import { deniedWords, traffic, when } from "../text/format.ts";
import { covers, hostPort } from "../text/hosts.ts";

const COLUMNS = ["host", "reached", "traffic", "last", "act"] as const;

/** What the project's agent may reach, and what its sessions reached or tried. */
export function ProjectNetworkSection({ project }: { project: Project }): ReactNode {
  const { slug, hash, cage } = project;
  const held = useLoaded(() => api.network(slug), `${slug} ${hash}`);
  const { busy, run } = useWork(toastError);
  const lacking = lacks(project, "owner");
  const write = (change: Parameters<typeof api.setNetwork>[1], done: string): void =>
    void run(async () => {
      placeProject(await api.setNetwork(slug, change));
      await held.retry();
      toast(done);
    });
  const may = (words: string): { disabled: boolean; title: string } => ({ disabled: busy || lacking !== null, title: lacking ?? words });
  return (
    <>
      <h2 className="page-title">{t("project:network.title")}</h2>
      <p className="muted reach-words">
        <Sentence text={(cage?.explain ?? []).filter((line) => /^(reaches|asks)\b/.test(line)).join("; ")} />
      </p>
      <StateView of={held} lines={2}>
        {({ mode, allow, proposal, seen }) => {
          const needed = proposal.map((entry) => `\`${entry}\``).join(", ") || t("project:network.nothing");
          const use = (): void => write({ mode: "enforce", allow: proposal }, t("project:network.used"));
          const add = (entry: string): void => write({ allow: [...allow, entry] }, t("project:network.allowed", { entry }));
          const rows = seen.map((host) => ({ host, entry: offered(host, allow) }));
          const adopt = (
            <Button look="primary" small busy={busy} disabled={proposal.length === 0 || lacking !== null}
              title={lacking ?? undefined} onClick={use}>
              {t("project:network.use")}
            </Button>
          );
          return (
            <>
              {mode === "learn" ? (
                <Notice tone="accent" act={adopt}><Sentence text={t("project:network.learning", { needed })} /></Notice>
              ) : null}
              {rows.length === 0 ? null : (
                <Table className="seen" testid="seen" heads={COLUMNS.map((name) => t(`project:network.column.${name}`))}>
                  {rows.toSorted((one, other) => Number(one.entry === "") - Number(other.entry === "")).map(({ host, entry }) => (
                    <SeenRow key={`${host.host}:${host.port}`} host={host}>
                      {entry === "" ? null : (
                        <Button small {...may(t("project:network.allowOne", { entry }))} onClick={() => add(entry)}>
                          {t("project:network.allow")}
                        </Button>
                      )}
                    </SeenRow>
                  ))}
                </Table>
              )}
            </>
          );
        }}
      </StateView>
    </>
  );
}

/** What to add to the list for a host that was denied; empty when that would not help, or is done. */
function offered({ host, port, via, rule, denied }: SeenHost, allow: readonly string[]): string {
  const isAddress = /^[\d.]+$|:/.test(host);
  // Who asked for the name only is let through to the port that a rule without one means.
  const wanted = via === "dns" ? 443 : port;
  if (denied === 0 || isAddress || /^http /.test(rule) || covers(allow, host, wanted)) return "";
  return hostPort(host, wanted);
}

function SeenRow({ host, children }: { host: SeenHost; children: ReactNode }): ReactNode {
  const { allowed, denied, reason, up, down } = host;
  return (
    <tr>
      <td className="cell-main mono">{hostPort(host.host, host.via === "dns" ? 0 : host.port)}</td>
      <td className="cell-wide">
        {allowed > 0 ? `${t("words:connections", { count: allowed })}${denied > 0 ? " · " : ""}` : null}
        <span className="net-denied">{denied > 0 ? <Sentence text={deniedWords(denied, reason)} /> : null}</span>
      </td>
      <td className="cell-minor">{traffic(up, down)}</td>
      <td className="cell-minor cell-side">{when(host.last_at)}</td>
      <td className="cell-act cell-side">{children}</td>
    </tr>
  );
}
