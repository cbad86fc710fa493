import { type ReactNode, useLayoutEffect, useRef } from "react";
import type { MessageMode } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { useActs } from "../palette/acts.ts";
import { SendIcon } from "../design/icons.tsx";
import { useKept } from "../state/kept.ts";
import { useSession } from "./context.ts";

interface ComposerProps {
  /** Stands in an empty composer that has no draft. */
  suggestion: string;
  /** Why nothing can be sent now; typing goes on. */
  reason: string | null;
  busy: boolean;
  /** A run is going: what is sent waits for its end, or steers it. */
  active: boolean;
  onSend: (text: string, mode: MessageMode) => Promise<boolean>;
}

export function Composer({ suggestion, reason, busy, active, onSend }: ComposerProps): ReactNode {
  const { session } = useSession();
  const area = useRef<HTMLTextAreaElement>(null);
  const [draft, setDraft] = useKept(session);
  const text = draft ?? suggestion;

  useLayoutEffect(() => {
    const element = area.current;
    if (element === null) return;
    element.style.height = "0";
    element.style.height = `${Math.min(element.scrollHeight, window.innerHeight * 0.4)}px`;
  }, [text]);

  useActs({ message: () => area.current?.focus() });

  const sendable = text.trim() !== "" && reason === null && !busy;
  const send = async (mode: MessageMode): Promise<void> => {
    if (!sendable) return;
    if (await onSend(text.trim(), mode)) setDraft("");
    area.current?.focus();
  };

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send("queue");
      }}
    >
      <textarea
        ref={area}
        data-testid="composer"
        aria-label="Message"
        aria-describedby="composer-reason"
        rows={1}
        placeholder="Message the agent"
        value={text}
        onChange={(event) => setDraft(event.target.value)}
        // Whoever is here already writes something of their own: no suggestion comes in between.
        onFocus={() => {
          if (draft === null && suggestion === "") setDraft("");
        }}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
          event.preventDefault();
          void send(active && (event.ctrlKey || event.metaKey) ? "steer" : "queue");
        }}
      />
      {active ? (
        <Button
          small
          className="steer"
          data-testid="steer"
          title="Give it to the agent at its next step (Ctrl+Enter)"
          disabled={!sendable}
          onClick={() => void send("steer")}
        >
          Steer
        </Button>
      ) : null}
      <Button
        type="submit"
        look="primary"
        className="square send"
        data-testid="send"
        aria-label="Send"
        title={reason ?? (active ? "Send after this run (Enter)" : "Send (Enter)")}
        busy={busy}
        disabled={!sendable}
      >
        {busy ? null : <SendIcon size={17} strokeWidth={2.4} />}
      </Button>
    </form>
  );
}
