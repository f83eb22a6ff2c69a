// Connections to the bucket that downloads share. A download needs one only while it takes bytes from it: where its client is slow, and others
// wait, they have it meanwhile, and the download asks for the rest of its object when the client is ready for it.

/** Milliseconds that a place was not used for, after which somebody who waits may have it: a client that takes 2 MB/s keeps its own. */
const restsFor = 100;
/** Milliseconds after which a place goes to somebody who waits also when it is in use: who wants little does not wait for all who want much. */
const turn = 1000;

export class ReadPlaces {
  #free: number;
  /** Places that are not in use, the oldest first, with the time since when. */
  readonly #resting = new Map<ReadPlace, number>();
  readonly #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `most` at once, at least 1. */
  constructor(most: number) {
    this.#free = most;
  }

  /** For one download. */
  place(): ReadPlace {
    return new ReadPlace(this);
  }

  /** Of ReadPlace alone. Resolves when there is a place; who came first is first. */
  async take(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      this.#look();
    });
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }

  /** `since`: when it was taken. */
  rest(place: ReadPlace, since: number): void {
    const now = performance.now();
    if (this.#waiting.length > 0 && now - since >= turn) return this.#handOn(place);
    this.#resting.set(place, now);
    this.#look();
  }

  /** False: it was given to somebody else. */
  wake(place: ReadPlace): boolean {
    return this.#resting.delete(place);
  }

  /** Hands places that rest to those who wait, now and when the next of them has rested for long enough. */
  #look(): void {
    clearTimeout(this.#timer);
    for (const [place, since] of this.#resting) {
      if (this.#waiting.length === 0) return;
      const left = since + restsFor - performance.now();
      if (left > 0) {
        this.#timer = setTimeout(() => this.#look(), left);
        return;
      }
      this.#resting.delete(place);
      this.#handOn(place);
    }
  }

  #handOn(place: ReadPlace): void {
    place.leave();
    this.give();
  }
}

export class ReadPlace {
  readonly #places: ReadPlaces;
  #state: "None" | "InUse" | "Resting" = "None";
  #onLeave: () => void = () => {};
  #since = 0;

  constructor(places: ReadPlaces) {
    this.#places = places;
  }

  /** `onLeave` is called when a place that rests goes to somebody else: what is open on its connection must be closed. */
  onLeave(work: () => void): void {
    this.#onLeave = work;
  }

  /** Before bytes are asked for or taken. One call at a time. */
  async take(): Promise<void> {
    const isHere = this.#state === "InUse" || (this.#state === "Resting" && this.#places.wake(this));
    if (!isHere) {
      await this.#places.take();
      this.#since = performance.now();
    }
    this.#state = "InUse";
  }

  /** Bytes were taken, and it may be long until more are. */
  rest(): void {
    if (this.#state !== "InUse") return;
    this.#state = "Resting";
    this.#places.rest(this, this.#since);
  }

  /** Nothing is open any more. */
  give(): void {
    const had = this.#state === "InUse" || (this.#state === "Resting" && this.#places.wake(this));
    this.#state = "None";
    if (had) this.#places.give();
  }

  /** Of ReadPlaces alone. */
  leave(): void {
    this.#state = "None";
    this.#onLeave();
  }
}
