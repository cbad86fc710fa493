import type { ReactNode } from "react";
import { CageIcon, ConnectIcon, FixIcon } from "../design/icons.tsx";
import { t } from "../i18n/index.ts";
import { overlay } from "../shell/overlay.ts";

interface OffersProps {
  /** Large cards in an empty session, a quiet row once there is a conversation. */
  large: boolean;
  disabled: boolean; onSend: (text: string) => void;
}

const OFFERS = [
  { id: "fix", icon: <FixIcon size={17} aria-hidden /> },
  { id: "escape", icon: <CageIcon size={17} aria-hidden /> },
  { id: "connect", icon: <ConnectIcon size={17} aria-hidden /> },
] as const;

/** What the offline model is asked by each: it knows these words, whatever the reader's language. */
export const ASKS = { fix: "Fix the failing test", escape: "Try to escape", connect: "Connect a model" } as const;

export function Offers({ large, disabled, onSend }: OffersProps): ReactNode {
  return (
    <div className={large ? "offers" : "offers quiet"} role="group" aria-label={t("session:offers")}>
      {OFFERS.map((offer) => (
        <button key={offer.id} type="button" className="offer" data-testid={`offer-${offer.id}`}
          disabled={disabled && offer.id !== "connect"}
          onClick={() => (offer.id === "connect" ? overlay.set({ kind: "provider" }) : onSend(ASKS[offer.id]))}>
          <span className="offer-icon">{offer.icon}</span>
          <span className="offer-title">{t(`session:offer.${offer.id}`)}</span>
          {large ? <span className="offer-words">{t(`session:offerWords.${offer.id}`)}</span> : null}
        </button>
      ))}
    </div>
  );
}
