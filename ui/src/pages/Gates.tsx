import type { ReactNode } from "react";
import type { Me } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { CopyButton } from "../design/CopyButton.tsx";
import { Logo } from "../design/Logo.tsx";
import { Spinner } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";

/** The pages of those who cannot come in: what happened, and the one thing to do. */

function Gate({ title, children }: { title: string; children: ReactNode }): ReactNode {
  return <main className="gate"><div className="gate-card"><Logo size={28} /><h1>{title}</h1>{children}</div></main>;
}

const reload = (): void => window.location.reload();

function Copied({ text, label, testid }: { text: string; label: string; testid?: string }): ReactNode {
  return (
    <div className="gate-command">
      <code data-testid={testid}>{text}</code>
      <CopyButton text={() => text} label={label} />
    </div>
  );
}

export function SignedOut(): ReactNode {
  return (
    <Gate title={t("gates:out")}>
      <p>{t("gates:out_do")}</p>
      <Copied text="kaged auth open" label={t("gates:copy_command")} />
      <p className="muted">{t("gates:out_proxy")}</p>
      <Button onClick={reload}>{t("gates:reload")}</Button>
    </Gate>
  );
}

export function SessionGone(): ReactNode {
  return (
    <Gate title={t("gates:gone")}>
      <p>{t("gates:gone_do")}</p>
      <Button look="primary" onClick={reload}>{t("gates:reload")}</Button>
    </Gate>
  );
}

export function Unreachable({ message }: { message: string }): ReactNode {
  return (
    <Gate title={t("gates:away")}>
      <p>{message}</p>
      <p className="gate-waiting muted" role="status"><Spinner /> {t("gates:again")}</p>
    </Gate>
  );
}

/** Signed in, and nothing to see: says who the reader is to kaged, and what others can do about it. */
export function NoRights({ me }: { me: Me }): ReactNode {
  const command = `kaged auth claim '${me.id.replaceAll("'", `'"'"'`)}'`;
  return (
    <Gate title={t("gates:as", { who: me.name ?? me.email ?? me.id })}>
      <p>{t("gates:none")}</p>
      <Copied text={me.id} label={t("gates:copy_id")} testid="user-id" />
      <p>{t("gates:none_do")}</p>
      <Copied text={command} label={t("gates:copy_command")} testid="claim" />
      <Button onClick={reload}>{t("gates:look")}</Button>
      {me.logout_url === "" ? null : <a className="gate-link" href={me.logout_url}>{t("shell:sign_out")}</a>}
    </Gate>
  );
}
