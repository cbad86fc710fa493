import "./terminal.css";
import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { api } from "../api/client.ts";
import type { Terminal } from "../api/types.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { CageIcon, ChevronIcon, CloseIcon, HostIcon, PlusIcon } from "../design/icons.tsx";
import { MenuItem, Popover } from "../design/Popover.tsx";
import { t } from "../i18n";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { toastError } from "../state/toasts.ts";
import { findProject, me, workspace } from "../state/workspace.ts";
import { EchoMenu } from "./EchoMenu.tsx";
import { Screen } from "./Screen.tsx";
import { StateView } from "../design/StateView.tsx";

interface TerminalsProps {
  /** The session whose terminals these are; null for all of them. */
  scope: { project: string; session: string } | null;
  selected: string | null;
  onSelect: (id: string | null) => void;
  labelOf: (terminal: Terminal) => string;
  empty: ReactNode;
}

/** A strip of terminals and the screen of the chosen one. */
export function Terminals({ scope, selected, onSelect, labelOf, empty }: TerminalsProps): ReactNode {
  const [list, setList] = useState<Terminal[] | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const hostAllowed = useStore(me)?.host_terminals === true;
  const session = scope?.session ?? null;
  const space = useStore(workspace);
  const lacking = (slug: string | null): string | null => lacks(findProject(space, slug ?? ""), "editor");

  const look = useCallback(async (): Promise<void> => {
    try {
      const { items } = await api.terminals(session);
      setList(
        items.filter((entry) => session === null || entry.session === session || entry.kind === "host").toReversed(),
      );
      setProblem(null);
    } catch (error) {
      setProblem(error);
    }
  }, [session]);
  // One that was opened elsewhere, such as a task's, is not in the list yet.
  const unknown = selected !== null && list !== null && !list.some((entry) => entry.id === selected);
  useEffect(() => void look(), [look, unknown]);

  const here = useRef(true);
  useEffect(() => {
    here.current = true;
    return () => {
      here.current = false;
    };
  }, []);

  const chosen = list?.find((entry) => entry.id === selected) ?? list?.at(-1) ?? null;

  const open = async (kind: "cage" | "host"): Promise<void> => {
    setBusy(true);
    try {
      const place = kind === "host" ? {} : (scope ?? {});
      const made = await api.createTerminal({ kind, ...place, cols: 100, rows: 30 });
      setList((held) => [...(held ?? []), made]);
      // Whoever went elsewhere in the meantime is not fetched back.
      if (here.current) onSelect(made.id);
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };

  const close = async (id: string): Promise<void> => {
    try {
      await api.closeTerminal(id);
      setList((held) => held?.filter((entry) => entry.id !== id) ?? null);
      if (id === selected) onSelect(null);
    } catch (error) {
      toastError(error);
      await look();
    }
  };

  const change = useCallback((id: string, news: Partial<Terminal>): void => {
    setList((held) => held?.map((entry) => (entry.id === id ? { ...entry, ...news } : entry)) ?? null);
  }, []);
  const exited = useCallback(
    (id: string, code: number | null) => change(id, { state: "exited", exit_code: code }),
    [change],
  );
  const titled = useCallback((id: string, title: string) => change(id, { title }), [change]);

  const newButton = (
    <NewTerminal
      cage={scope !== null}
      host={hostAllowed}
      busy={busy}
      lacking={lacking(scope?.project ?? null)}
      onOpen={(kind) => void open(kind)}
    />
  );
  return (
    <div className="terminals">
      {list === null || problem !== null ? <StateView of={{ value: list, problem, retry: look }}>{() => null}</StateView> : null}
      {list?.length === 0 ? (
        <div className="terminals-empty">
          {empty}
          {newButton}
        </div>
      ) : null}
      {chosen === null || list === null ? null : (
        <>
          <div className="terminal-strip">
            <div className="terminal-tabs" role="group" aria-label={t("terminal:tabs")}>
              {list.map((entry) => (
                <Tab
                  key={entry.id}
                  terminal={entry}
                  label={labelOf(entry)}
                  selected={entry.id === chosen.id}
                  lacking={lacking(entry.project)}
                  onSelect={() => onSelect(entry.id)}
                  onClose={() => void close(entry.id)}
                />
              ))}
            </div>
            <EchoMenu />
            {newButton}
          </div>
          <Screen
            key={`${chosen.id} ${lacking(chosen.project) ?? ""}`}
            terminal={chosen}
            readOnly={lacking(chosen.project)}
            onExit={exited}
            onTitle={titled}
          />
        </>
      )}
    </div>
  );
}

interface TabProps {
  terminal: Terminal;
  label: string;
  selected: boolean;
  /** Why it may not be closed. */
  lacking: string | null;
  onSelect: () => void;
  onClose: () => void;
}

function Tab({ terminal, label, selected, lacking, onSelect, onClose }: TabProps): ReactNode {
  const name = label || t(terminal.kind === "host" ? "terminal:hostName" : "terminal:cageName");
  return (
    <div className="terminal-tab" data-selected={selected} data-state={terminal.state}>
      <button type="button" className="terminal-pick" aria-pressed={selected} onClick={onSelect}>
        {terminal.kind === "host" ? <HostIcon size={14} aria-label={t("terminal:hostIcon")} /> : <CageIcon size={14} aria-label={t("terminal:cageIcon")} />}
        <span className="ellipsis">{name}</span>
      </button>
      <IconButton small label={lacking ?? t("terminal:close", { name })} disabled={lacking !== null} onClick={onClose}>
        <CloseIcon size={13} />
      </IconButton>
    </div>
  );
}

interface NewTerminalProps {
  cage: boolean;
  host: boolean;
  busy: boolean;
  lacking: string | null;
  onOpen: (kind: "cage" | "host") => void;
}

function NewTerminal({ cage, host, busy, lacking, onOpen }: NewTerminalProps): ReactNode {
  if (!cage && !host) return null;
  const first = cage ? "cage" : "host";
  return (
    <div className="new-terminal">
      <Button
        small
        data-testid="new-terminal"
        busy={busy}
        disabled={lacking !== null}
        title={lacking ?? undefined}
        onClick={() => onOpen(first)}
      >
        {busy ? null : <PlusIcon size={14} aria-hidden />} {t(cage ? "terminal:new.cage" : "terminal:new.host")}
      </Button>
      {cage && host ? (
        <Popover
          end
          menu
          label={t("terminal:new.menu")}
          anchor={(attributes) => (
            <IconButton small label={t("terminal:new.where")} {...attributes}>
              <ChevronIcon size={14} />
            </IconButton>
          )}
        >
          {(close) => (
            <>
              <MenuItem
                icon={<CageIcon size={15} />}
                onClick={() => {
                  close();
                  onOpen("cage");
                }}
              >
                {t("terminal:new.inCage")}
              </MenuItem>
              <MenuItem
                icon={<HostIcon size={15} />}
                onClick={() => {
                  close();
                  onOpen("host");
                }}
              >
                {t("terminal:new.onHost")}
              </MenuItem>
            </>
          )}
        </Popover>
      ) : null}
    </div>
  );
}
