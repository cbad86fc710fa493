import type { ReactNode } from "react";
import { CageIcon, ConnectIcon, FixIcon } from "../design/icons.tsx";
import { overlay } from "../shell/overlay.ts";

interface OffersProps {
  /** Large cards in an empty session, a quiet row once there is a conversation. */
  large: boolean;
  disabled: boolean;
  onSend: (text: string) => void;
}

const OFFERS = [
  {
    id: "fix",
    title: "Fix the failing test",
    words: "The agent runs the tests, reads the code, edits it and runs them again.",
    icon: <FixIcon size={17} aria-hidden />,
  },
  {
    id: "escape",
    title: "Try to escape",
    words: "Ten things no agent should manage. Watch each one being refused, and why.",
    icon: <CageIcon size={17} aria-hidden />,
  },
  {
    id: "connect",
    title: "Connect a model",
    words: "Paste a key or the address of a server. Until then a small offline model answers.",
    icon: <ConnectIcon size={17} aria-hidden />,
  },
] as const;

export function Offers({ large, disabled, onSend }: OffersProps): ReactNode {
  return (
    <div className={large ? "offers" : "offers quiet"} role="group" aria-label="Things to try">
      {OFFERS.map((offer) => (
        <button
          key={offer.id}
          type="button"
          className="offer"
          data-testid={`offer-${offer.id}`}
          disabled={disabled && offer.id !== "connect"}
          onClick={() => (offer.id === "connect" ? overlay.set({ kind: "provider" }) : onSend(offer.title))}
        >
          <span className="offer-icon">{offer.icon}</span>
          <span className="offer-title">{offer.title}</span>
          {large ? <span className="offer-words">{offer.words}</span> : null}
        </button>
      ))}
    </div>
  );
}
