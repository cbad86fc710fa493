import { type KeyboardEvent, type ReactNode, type SyntheticEvent, useId, useLayoutEffect, useRef, useState } from "react";
import type { AttachmentDraft, MessageMode } from "../../api/types.ts";
import { Button, IconButton } from "../../design/Button.tsx";
import { AttachIcon, SendIcon } from "../../design/icons.tsx";
import { t } from "../../i18n/index.ts";
import { useActs } from "../../palette/acts.ts";
import { useKept } from "../../state/kept.ts";
import { toast } from "../../state/toasts.ts";
import { Attached } from "../Attached.tsx";
import { useSession } from "../context.ts";
import { withFiles } from "./attach.ts";
import { commandsFor } from "./commands.ts";
import { commandIn } from "./line.ts";
import { type Suggestion, useSuggestions } from "./useSuggestions.ts";

interface ComposerProps {
  /** Stands in an empty composer that has no draft. */
  suggestion: string;
  /** Why nothing can be sent now; typing goes on. */
  reason: string | null;
  busy: boolean;
  /** A run is going: what is sent waits for its end, or steers it. */
  active: boolean;
  /** What was said in this session, the newest last. */
  history: readonly string[];
  onSend: (text: string, mode: MessageMode, attachments: AttachmentDraft[]) => Promise<boolean>;
}

export function Composer({ suggestion, reason, busy, active, history, onSend }: ComposerProps): ReactNode {
  const { project, session } = useSession();
  const area = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const listId = useId();
  const [draft, setDraft] = useKept(session);
  const [files, setFiles] = useState<AttachmentDraft[]>([]);
  const [caret, setCaret] = useState(0);
  const [chosen, setChosen] = useState(0);
  const [closed, setClosed] = useState(false);
  const [back, setBack] = useState(0); // how far back in the history; 0 is the draft
  const [over, setOver] = useState(false);
  const text = draft ?? suggestion;
  const commands = commandsFor(project, session, false, active);
  const found = useSuggestions(project, draft ?? "", caret, commands);
  const open = !closed && found.length > 0;
  const at = Math.min(chosen, found.length - 1);

  useLayoutEffect(() => {
    const element = area.current;
    if (element === null) return;
    element.style.height = "0";
    element.style.height = `${Math.min(element.scrollHeight, window.innerHeight * 0.4)}px`;
  }, [text]);

  useActs({ message: () => area.current?.focus() });

  const settle = (next: string, place: number): void => {
    setDraft(next);
    setClosed(false);
    setChosen(0);
    setCaret(place);
  };
  const write = (next: string, place = next.length): void => {
    settle(next, place);
    requestAnimationFrame(() => area.current?.setSelectionRange(place, place));
  };
  const add = async (list: Iterable<File>): Promise<void> => {
    const { all, refused } = await withFiles(files, [...list]);
    setFiles(all);
    for (const why of refused) toast(why, "bad");
  };
  const taken = (event: SyntheticEvent, { files }: DataTransfer): void => {
    event.preventDefault();
    void add(files);
  };
  const asCommand = commandIn(text, commands);
  const sendable = text.trim() !== "" && (asCommand !== null || (reason === null && !busy));
  const send = async (mode: MessageMode): Promise<void> => {
    if (!sendable) return;
    if (asCommand !== null) {
      write("");
      return void asCommand.command.run(asCommand.argument);
    }
    if (await onSend(text.trim(), mode, files)) {
      // What was typed while it was on its way is the next message.
      if (area.current?.value === text) write("");
      setFiles((held) => held.filter((file) => !files.includes(file)));
      setBack(0);
    }
    area.current?.focus();
  };
  const take = ({ taken, command }: Suggestion): void => {
    write(taken?.text ?? "", taken?.caret);
    if (taken === null) command?.run("");
    area.current?.focus();
  };
  /** Up in an empty or an untouched old message: the one before it. */
  const remember = (step: 1 | -1): boolean => {
    const shown = back === 0 ? "" : history.at(-back);
    if (text !== shown || (step === 1 && back >= history.length) || (step === -1 && back === 0)) return false;
    setBack(back + step);
    write(back + step === 0 ? "" : (history.at(-(back + step)) ?? ""));
    return true;
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.nativeEvent.isComposing) return;
    const upOrDown = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
    const plain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
    const choice = open ? found[at] : undefined;
    if (open && upOrDown !== 0) setChosen((at + upOrDown + found.length) % found.length);
    else if (upOrDown !== 0 && plain && remember(upOrDown === -1 ? 1 : -1)) {
      // The text before is shown.
    } else if (choice !== undefined && plain && (event.key === "Tab" || (event.key === "Enter" && asCommand === null))) take(choice);
    else if (open && event.key === "Escape") {
      setClosed(true);
      event.nativeEvent.stopImmediatePropagation();
    } else if (event.key === "Enter" && !event.shiftKey) void send(active && (event.ctrlKey || event.metaKey) ? "steer" : "queue");
    else return;
    event.preventDefault();
  };

  return (
    <form
      className="composer"
      data-over={over}
      onSubmit={(event) => {
        event.preventDefault();
        void send("queue");
      }}
      onDragOver={(event) => {
        if (!event.dataTransfer.types.includes("Files")) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        setOver(false);
        taken(event, event.dataTransfer);
      }}
    >
      {open ? (
        <ul className="suggestions" role="listbox" tabIndex={0} id={listId} aria-label={t("session:suggestions")} data-testid="suggestions">
          {found.map((suggestion, index) => (
            // The pointer must not take the focus out of the text.
            <li key={suggestion.key} id={`${listId}-${index}`} role="option" aria-selected={index === at}
              onMouseDown={(event) => event.preventDefault()} onClick={() => take(suggestion)}>
              <code className="ellipsis">{suggestion.label}</code>
              <span className="muted">{suggestion.words}</span>
            </li>
          ))}
        </ul>
      ) : null}
      <Attached files={files} onRemove={(index) => setFiles(files.filter((_, place) => place !== index))} />
      <input ref={picker} type="file" multiple hidden data-testid="attach-input"
        onChange={(event) => {
          void add(event.target.files ?? []);
          event.target.value = "";
        }} />
      <IconButton className="attach" label={t("session:attach.add")} onClick={() => picker.current?.click()}>
        <AttachIcon size={17} aria-hidden />
      </IconButton>
      <textarea
        ref={area}
        data-testid="composer"
        aria-label={t("session:message")}
        aria-describedby="composer-reason"
        aria-autocomplete="list"
        aria-haspopup="listbox"
        aria-controls={listId}
        aria-activedescendant={open ? `${listId}-${at}` : undefined}
        rows={1}
        placeholder={t("session:placeholder")}
        value={text}
        onChange={({ target }) => {
          settle(target.value, target.selectionStart);
          setBack(0);
        }}
        onSelect={(event) => setCaret(event.currentTarget.selectionStart)}
        onPaste={(event) => event.clipboardData.files.length > 0 && taken(event, event.clipboardData)}
        // Whoever is here already writes something of their own: no suggestion comes in between.
        onFocus={() => void (draft === null && suggestion === "" && setDraft(""))}
        onBlur={() => setClosed(true)}
        onKeyDown={onKeyDown}
      />
      {active ? (
        <Button small className="steer" data-testid="steer" title={t("session:steerTitle")} disabled={!sendable} onClick={() => void send("steer")}>
          {t("session:steer")}
        </Button>
      ) : null}
      <Button type="submit" look="primary" className="square send" data-testid="send" aria-label={t("session:send")}
        title={reason ?? (active ? t("session:sendAfter") : t("session:sendNow"))} busy={busy} disabled={!sendable}>
        {busy ? null : <SendIcon size={17} strokeWidth={2.4} />}
      </Button>
    </form>
  );
}
