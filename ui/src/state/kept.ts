import { useEffect, useState } from "react";

/** Text that outlives the page: a sign-in that ends on the way costs nobody what they typed. Null until written to. */
export function useKept(name: string): [string | null, (text: string) => void] {
  const key = `kaged.draft.${name}`;
  const [text, setText] = useState<string | null>(() => localStorage.getItem(key));
  useEffect(() => {
    if (text === null) return;
    if (text === "") localStorage.removeItem(key);
    else localStorage.setItem(key, text);
  }, [text, key]);
  return [text, setText];
}
