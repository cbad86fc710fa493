import type { ReactNode } from "react";
import type { Me } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { CopyButton } from "../design/CopyButton.tsx";
import { Logo } from "../design/Logo.tsx";
import { Spinner } from "../design/parts.tsx";

/** The pages of those who cannot come in: what happened, and the one thing to do. */

function Gate({ title, children }: { title: string; children: ReactNode }): ReactNode {
  return (
    <main className="gate">
      <div className="gate-card">
        <Logo size={28} />
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}

function reload(): void {
  window.location.reload();
}

export function SignedOut(): ReactNode {
  const command = "kaged auth open";
  return (
    <Gate title="This browser is not signed in">
      <p>Run this on the host, then open the address it prints:</p>
      <div className="gate-command">
        <code>{command}</code>
        <CopyButton text={() => command} label="Copy the command" />
      </div>
      <p className="muted">Behind a sign-in proxy, reload the page to sign in again. Nothing that runs has stopped.</p>
      <Button onClick={reload}>Reload</Button>
    </Gate>
  );
}

export function SessionGone(): ReactNode {
  return (
    <Gate title="Your sign-in has ended">
      <p>Reload the page to sign in again. What runs goes on, and drafts are kept in this browser.</p>
      <Button look="primary" onClick={reload}>
        Reload
      </Button>
    </Gate>
  );
}

export function Unreachable({ message }: { message: string }): ReactNode {
  return (
    <Gate title="The daemon does not answer">
      <p>{message}</p>
      <p className="gate-waiting muted" role="status">
        <Spinner /> Trying again by itself
      </p>
    </Gate>
  );
}

/** Signed in, and nothing to see: says who the reader is to kaged, and what others can do about it. */
export function NoRights({ me }: { me: Me }): ReactNode {
  const command = `kaged auth claim '${me.id.replaceAll("'", `'"'"'`)}'`;
  return (
    <Gate title={`You are signed in as ${me.name ?? me.email ?? me.id}`}>
      <p>You have no rights in this kaged yet, so there is nothing here for you to see. This is your user id:</p>
      <Copied text={me.id} label="Copy your id" testid="user-id" />
      <p>Send it to an owner of a project, who can add you to it. Or whoever runs this host makes you an admin there:</p>
      <Copied text={command} label="Copy the command" testid="claim" />
      <Button onClick={reload}>Look again</Button>
      {me.logout_url === "" ? null : (
        <a className="gate-link" href={me.logout_url}>
          Sign out
        </a>
      )}
    </Gate>
  );
}

function Copied({ text, label, testid }: { text: string; label: string; testid: string }): ReactNode {
  return (
    <div className="gate-command">
      <code data-testid={testid}>{text}</code>
      <CopyButton text={() => text} label={label} />
    </div>
  );
}
