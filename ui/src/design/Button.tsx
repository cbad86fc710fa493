import type { ButtonHTMLAttributes, ReactNode } from "react";

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: "primary" | "plain" | "ghost" | "danger";
  small?: boolean;
  busy?: boolean;
}

export function Button({ look = "plain", small, busy, className, children, onClick, ...rest }: ButtonProps): ReactNode {
  const names = ["button", look, small ? "small" : "", className ?? ""].filter(Boolean).join(" ");
  return (
    // At work it is not `disabled`: that would take the focus away from whoever pressed it.
    <button type="button" {...rest} className={names} aria-busy={busy} aria-disabled={busy === true ? true : undefined}
      onClick={busy === true ? (event) => event.preventDefault() : onClick}>
      {busy ? <span className="spinner" aria-hidden /> : null}
      {children}
    </button>
  );
}

/** A button that is only an icon; `label` names it. */
export function IconButton({ label, className, ...rest }: ButtonProps & { label: string }): ReactNode {
  return <Button look="ghost" {...rest} aria-label={label} title={label} className={`square ${className ?? ""}`} />;
}
