import { type ReactNode, useCallback, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import type { Project, ProjectNetwork, SeenHost } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { Notice } from "../design/parts.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { t } from "../i18n/index.ts";
import { lacks } from "../state/rights.ts";
import { toast, toastError } from "../state/toasts.ts";
import { placeProject } from "../state/workspace.ts";
import { deniedWords, traffic, when } from "../text/format.ts";
import { covers, hostPort } from "../text/hosts.ts";

/** What the project's agent may reach, and what its sessions reached or tried. */
export function ProjectNetworkSection({ project }: { project: Project }): ReactNode {
  const [network, setNetwork] = useState<ProjectNetwork | null>(null);
  const [busy, setBusy] = useState(false);
  const lacking = lacks(project, "owner");
  const look = useCallback(() => api.network(project.slug).then(setNetwork).catch(toastError), [project.slug]);
  useEffect(() => void look(), [look, project.hash]);

  const write = (change: Parameters<typeof api.setNetwork>[1], done: string): void => {
    setBusy(true);
    const written = api.setNetwork(project.slug, change).then(placeProject).then(look);
    void written.then(() => toast(done), toastError).finally(() => setBusy(false));
  };

  const { mode, allow, proposal, seen } = network ?? { mode: "enforce", allow: [], proposal: [], seen: [] };
  const needed = proposal.map((entry) => `\`${entry}\``).join(", ") || t("project:network.nothing");
  const use = (): void => write({ mode: "enforce", allow: proposal }, t("project:network.used"));
  const add = (entry: string): void => write({ allow: [...allow, entry] }, t("project:network.allowed", { entry }));
  const rows = seen.map((host) => ({ host, entry: offered(host, allow) }));
  return (
    <>
      <h2 className="page-title">{t("project:network.title")}</h2>
      <p className="muted reach-words">
        <Sentence text={(project.cage?.explain ?? []).filter((line) => /^(reaches|asks)\b/.test(line)).join("; ")} />
      </p>
      {mode === "learn" ? (
        <Notice tone="accent">
          <div className="notice-line">
            <span className="grow">
              <Sentence text={t("project:network.learning", { needed })} />
            </span>
            <Button
              look="primary"
              small
              busy={busy}
              disabled={proposal.length === 0 || lacking !== null}
              title={lacking ?? undefined}
              onClick={use}
            >
              {t("project:network.use")}
            </Button>
          </div>
        </Notice>
      ) : null}
      {rows.length === 0 ? null : (
        <div className="card table-frame">
          <table className="table seen" data-testid="seen">
            <thead>
              <tr>
                {(["host", "reached", "traffic", "last", "act"] as const).map((name) => (
                  <th key={name} scope="col">
                    {t(`project:network.column.${name}`)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows
                .toSorted((one, other) => Number(one.entry === "") - Number(other.entry === ""))
                .map(({ host, entry }) => (
                  <SeenRow key={`${host.host}:${host.port}`} host={host}>
                    {entry === "" ? null : (
                      <Button
                        small
                        disabled={busy || lacking !== null}
                        title={lacking ?? t("project:network.allowOne", { entry })}
                        onClick={() => add(entry)}
                      >
                        {t("project:network.allow")}
                      </Button>
                    )}
                  </SeenRow>
                ))}
            </tbody>
          </table>
        </div>
      )}
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
