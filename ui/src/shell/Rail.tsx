import { type ReactNode, useEffect, useState } from "react";
import { Button, IconButton } from "../design/Button.tsx";
import {
  ApprovalIcon, AuditIcon, CloseIcon, DarkIcon, FolderIcon, HomeIcon, KeyboardIcon, LightIcon, LogsIcon, SearchIcon,
  SettingsIcon, UsageIcon, SignOutIcon, TerminalIcon, UsersIcon,
} from "../design/icons.tsx";
import { Logo } from "../design/Logo.tsx";
import { Skeleton } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { forgetDevice } from "../offline/device.ts";
import { reachable } from "../pages/Pages.tsx";
import { linkTo, type Place, usePlace } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { shownTheme, toggleTheme } from "../state/theme.ts";
import { me, refreshProjects, workspace } from "../state/workspace.ts";
import { socket } from "../ws/browser.ts";
import { Connection } from "./Connection.tsx";
import { matching } from "./matching.ts";
import { drawer, overlay } from "./overlay.ts";
import { RailProject } from "./RailProject.tsx";

type Nav = "terminals" | "usage" | "users" | "audit" | "logs" | "settings";

const NAV: readonly { page: Nav; icon: ReactNode }[] = [
  { page: "terminals", icon: <TerminalIcon size={16} /> }, { page: "usage", icon: <UsageIcon size={16} /> },
  { page: "users", icon: <UsersIcon size={16} /> }, { page: "audit", icon: <AuditIcon size={16} /> },
  { page: "logs", icon: <LogsIcon size={16} /> }, { page: "settings", icon: <SettingsIcon size={16} /> },
];

/** Nothing of this user stays on the device. */
function signOut(event: { preventDefault(): void }, logout: string): void {
  event.preventDefault();
  void forgetDevice().finally(() => window.location.assign(logout));
}

export function Rail({ open }: { open: boolean }): ReactNode {
  const { projects, sessions, loaded, attention } = useStore(workspace);
  const place = usePlace();
  const [wanted, setWanted] = useState("");
  const self = useStore(me);
  const admin = self?.role === "admin";
  // What happened while the line was down is in the lists too: look again when it is back.
  useEffect(
    () =>
      socket.watchStatus((status) => {
        if (status === "open" && workspace.get().loaded) refreshProjects().catch(() => {});
      }),
    [],
  );
  const shown = matching(projects, sessions, wanted);
  return (
    <nav className="rail" aria-label={t("shell:nav")} data-open={open}>
      <div className="rail-head">
        <a className="brand" {...linkTo({ page: "home" })} aria-label={t("shell:brand")}><Logo /><span>kaged</span></a>
        <Connection />
      </div>
      <div className="rail-top">
        <RailLink to={{ page: "home" }} current={place.page === "home"} icon={<HomeIcon size={16} />}>
          {t("shell:home")}
        </RailLink>
        {attention.length === 0 ? null : (
          <RailLink to={{ page: "approvals" }} current={place.page === "approvals"} testid="rail-waiting"
            icon={<ApprovalIcon size={16} />}>
            <span className="grow">{t("shell:waiting")}</span>
            <span className="count accent">{attention.length}</span>
          </RailLink>
        )}
        <Search wanted={wanted} onWanted={setWanted} />
      </div>
      {/* Not a stop for Tab of its own: its links are. */}
      <div className="rail-scroll" tabIndex={-1}>
        {loaded ? null : <Skeleton lines={4} />}
        {shown.map(({ project, page }) => (
          <RailProject key={project.slug} project={project} sessions={page} place={place} />
        ))}
        {wanted !== "" && shown.length === 0 ? <p className="rail-none" role="status">{t("shell:filter_none")}</p> : null}
        {admin && wanted === "" ? (
          <Button look="ghost" className="rail-add"
            onClick={() => { drawer.set(false); overlay.set({ kind: "load" }); }}>
            <FolderIcon size={16} /> {t("shell:load")}
          </Button>
        ) : null}
      </div>
      <RailFoot page={place.page} />
    </nav>
  );
}

interface RailLinkProps {
  to: Place;
  current: boolean;
  icon: ReactNode;
  testid?: string;
  children: ReactNode;
}

function RailLink({ to, current, icon, testid, children }: RailLinkProps): ReactNode {
  return (
    <a className="rail-link" data-testid={testid} aria-current={current ? "page" : undefined} {...linkTo(to)}>
      {icon} {children}
    </a>
  );
}

function Search({ wanted, onWanted }: { wanted: string; onWanted: (text: string) => void }): ReactNode {
  return (
    <div className="rail-search">
      <SearchIcon size={15} />
      <input type="text" role="searchbox" aria-label={t("shell:filter")} placeholder={t("shell:filter")}
        autoComplete="off" spellCheck={false} value={wanted} onChange={(event) => onWanted(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape" || wanted === "") return;
          event.stopPropagation();
          onWanted("");
        }} />
      {wanted === "" ? null : (
        <IconButton small label={t("shell:filter_clear")} onClick={() => onWanted("")}>
          <CloseIcon size={14} />
        </IconButton>
      )}
    </div>
  );
}

function RailFoot({ page }: { page: Place["page"] }): ReactNode {
  const shown = useStore(shownTheme);
  const self = useStore(me);
  const logout = self?.logout_url ?? "";
  const nav = NAV.filter(({ page: to }) => to === "terminals" || to === "settings" || reachable(to, self));
  return (
    <div className="rail-foot">
      {nav.map((entry) => (
        <RailLink key={entry.page}
          to={entry.page === "terminals" ? { page: entry.page, terminal: null } : { page: entry.page }}
          current={page === entry.page} icon={entry.icon}>
          {t(`places:page.${entry.page}`)}
        </RailLink>
      ))}
      {logout === "" ? null : (
        <a className="rail-link" href={logout} onClick={(event) => signOut(event, logout)}>
          <SignOutIcon size={16} /> {t("shell:sign_out")}
        </a>
      )}
      <div className="rail-tools">
        <IconButton small label={t(shown === "dark" ? "shell:to_light" : "shell:to_dark")} onClick={toggleTheme}>
          {shown === "dark" ? <LightIcon size={16} /> : <DarkIcon size={16} />}
        </IconButton>
        <IconButton small label={t("shell:shortcuts")} onClick={() => overlay.set({ kind: "shortcuts" })}>
          <KeyboardIcon size={16} />
        </IconButton>
      </div>
    </div>
  );
}
