import type { ReactNode } from "react";
import { initials } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { me } from "../state/workspace.ts";
import { useSession } from "./context.ts";

const SHOWN = 3;

/** Who else has this session open right now; nothing when nobody has. */
export function AlsoHere(): ReactNode {
  const { live } = useSession();
  const self = useStore(me);
  const others = useStore(live.here).filter((user) => user.id !== self?.id);
  if (others.length === 0) return null;
  const words = `Also here: ${others.map(({ id, name }) => (name === null ? id : `${name} (${id})`)).join(", ")}`;
  const more = others.length - SHOWN;
  return (
    <span className="also-here" role="status" aria-label={words} title={words} data-testid="also-here">
      {others.slice(0, SHOWN).map((user) => (
        <span key={user.id} className="face">
          {initials(user)}
        </span>
      ))}
      {more > 0 ? <span className="face">+{more}</span> : null}
    </span>
  );
}
