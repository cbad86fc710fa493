import { type ReactNode, useEffect } from "react";
import { Button, IconButton } from "../design/Button.tsx";
import {
  ApprovalIcon,
  AuditIcon,
  DarkIcon,
  FolderIcon,
  KeyboardIcon,
  LightIcon,
  ModelIcon,
  SignOutIcon,
  SystemIcon,
  TerminalIcon,
  UsersIcon,
} from "../design/icons.tsx";
import { Logo } from "../design/Logo.tsx";
import { linkTo, type Place, usePlace } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { shownTheme, toggleTheme } from "../state/theme.ts";
import { me, refreshProjects, workspace } from "../state/workspace.ts";
import { Connection } from "./Connection.tsx";
import { overlay } from "./overlay.ts";
import { RailProject } from "./RailProject.tsx";
import { Skeleton } from "../design/parts.tsx";
import { socket } from "../ws/browser.ts";

const NAV: readonly { page: "terminals" | "models" | "users" | "audit" | "system"; label: string; icon: ReactNode }[] = [
  { page: "terminals", label: "Terminals", icon: <TerminalIcon size={16} aria-hidden /> },
  { page: "models", label: "Models", icon: <ModelIcon size={16} aria-hidden /> },
  { page: "users", label: "Users", icon: <UsersIcon size={16} aria-hidden /> },
  { page: "audit", label: "Audit", icon: <AuditIcon size={16} aria-hidden /> },
  { page: "system", label: "System", icon: <SystemIcon size={16} aria-hidden /> },
];

export function Rail({ open, onClose }: { open: boolean; onClose: () => void }): ReactNode {
  const { projects, sessions, loaded, attention } = useStore(workspace);
  const place = usePlace();
  const shown = useStore(shownTheme);
  const self = useStore(me);
  const logout = self?.logout_url ?? "";
  const [admin, shared] = [self?.role === "admin", self?.mode === "system"];
  // What happened while the line was down is in the lists too: look again when it is back.
  useEffect(
    () =>
      socket.watchStatus((status) => {
        if (status === "open" && workspace.get().loaded) refreshProjects().catch(() => {});
      }),
    [],
  );
  return (
    <nav className="rail" aria-label="Projects and places" data-open={open}>
      <div className="rail-head">
        <a className="brand" {...linkTo({ page: "home" })} aria-label="kaged, home">
          <Logo />
          <span>kaged</span>
        </a>
        <Connection />
      </div>
      <div className="rail-scroll">
        {loaded ? null : <Skeleton lines={4} />}
        {attention.length === 0 ? null : (
          <a className="rail-link rail-waiting" data-testid="rail-waiting" {...linkTo({ page: "home" })}>
            <ApprovalIcon size={16} aria-hidden /> <span className="grow">Waiting for you</span>
            <span className="rail-flag">{attention.length}</span>
          </a>
        )}
        {projects.map((project) => (
          <RailProject key={project.slug} project={project} sessions={sessions[project.slug]} place={place} />
        ))}
        {admin ? (
          <Button
            look="ghost"
            className="rail-add"
            onClick={() => {
              onClose();
              overlay.set({ kind: "load" });
            }}
          >
            <FolderIcon size={16} aria-hidden /> Load a folder
          </Button>
        ) : null}
      </div>
      <div className="rail-foot">
        {NAV.filter(({ page }) => (page === "users" ? admin && shared : admin || page === "terminals")).map(({ page, label, icon }) => {
          const target: Place = page === "terminals" ? { page, terminal: null } : { page };
          return (
            <a
              key={page}
              className="rail-link"
              aria-current={place.page === page ? "page" : undefined}
              {...linkTo(target)}
            >
              {icon} {label}
            </a>
          );
        })}
        {logout === "" ? null : (
          <a className="rail-link" href={logout}>
            <SignOutIcon size={16} aria-hidden /> Sign out
          </a>
        )}
        <div className="rail-tools">
          <IconButton label={`Switch to ${shown === "dark" ? "light" : "dark"} colours`} onClick={toggleTheme}>
            {shown === "dark" ? <LightIcon size={16} /> : <DarkIcon size={16} />}
          </IconButton>
          <IconButton label="Keyboard shortcuts" onClick={() => overlay.set({ kind: "shortcuts" })}>
            <KeyboardIcon size={16} />
          </IconButton>
        </div>
      </div>
    </nav>
  );
}
