import type { ReactNode } from "react";
import { Dialog } from "../design/Dialog.tsx";
import { Kbd } from "../design/parts.tsx";

const mac = /mac|iphone|ipad/i.test(navigator.userAgent);
const mod = mac ? "⌘" : "Ctrl";

const KEYS: readonly { keys: string[][]; does: string }[] = [
  { keys: [["Enter"]], does: "Send the message" },
  { keys: [["Shift", "Enter"]], does: "New line in the message" },
  { keys: [["/"]], does: "Go to the message" },
  {
    keys: [
      ["Esc", "Esc"],
      [mod, "."],
    ],
    does: "Interrupt what runs",
  },
  { keys: [["W"]], does: "What waits for you" },
  { keys: [["G"]], does: "Jump to the latest" },
  { keys: [["T"]], does: "Between transcript and terminal" },
  { keys: [["Ctrl", "Shift", "C"]], does: "Copy in a terminal" },
  { keys: [["Ctrl", "Shift", "V"]], does: "Paste in a terminal" },
  { keys: [["Ctrl", "Shift", "F"]], does: "Find in a terminal" },
  { keys: [["?"]], does: "This list" },
];

export function Shortcuts({ onClose }: { onClose: () => void }): ReactNode {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <dl className="keys">
        {KEYS.map(({ keys, does }) => (
          <div key={does}>
            <dt>{does}</dt>
            <dd>
              {keys.map((chord, index) => (
                <span key={chord.join()}>
                  {index > 0 ? <span className="muted">or</span> : null}
                  {chord.map((key, place) => (
                    <Kbd key={place}>{key}</Kbd>
                  ))}
                </span>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
