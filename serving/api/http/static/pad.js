// The sheet of paper: people draw on it with mouse, finger, pen or keys, or put a picture on it.

const STROKE = 22; // width in paper pixels, of 280: about as thick as MNIST's
// Side of the picture that is sent: seven times a digit's 20 pixels, and decoded in a third of the time.
const SENT = 140;

export class Pad {
  /** `changed(isResting)` is called at each change; resting: the pen is up. */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.paper = canvas.getContext("2d", { willReadFrequently: true });
    this.strokes = []; // each a list of points, in paper pixels
    this.picture = null;
    this.pen = { x: canvas.width / 2, y: canvas.height / 2, isDown: false }; // moved with the keys
    this.paint();
    this.listen();
  }

  get isEmpty() {
    return !this.picture && this.strokes.length === 0;
  }

  /** True while a picture file is shown that nobody has drawn on. */
  get isPicture() {
    return Boolean(this.picture) && this.strokes.length === 0;
  }

  clear() {
    this.strokes = [];
    this.picture = null;
    this.pen.isDown = false;
    this.paint();
    this.changed(true);
  }

  undo() {
    this.pen.isDown = false;
    if (this.strokes.length) this.strokes.pop();
    else this.picture = null;
    this.paint();
    this.changed(true);
  }

  /** Shows a picture file in place of the drawing. The service gets the file itself until somebody draws on it. */
  async show(file) {
    const bitmap = await createImageBitmap(file).catch(() => null); // browsers cannot show TIFF; the service reads it
    this.strokes = [];
    this.pen.isDown = false;
    this.picture = { file, bitmap };
    this.paint();
    this.changed(true);
  }

  /** Returns what is on the paper as a picture file. */
  async file() {
    if (this.isPicture) return this.picture.file;
    const sent = document.createElement("canvas");
    sent.width = sent.height = SENT;
    const context = sent.getContext("2d");
    context.imageSmoothingQuality = "high";
    this.paint(false); // without the mark of the keys' pen
    context.drawImage(this.canvas, 0, 0, SENT, SENT);
    this.paint();
    return new Promise((resolve) => sent.toBlob(resolve, "image/png"));
  }

  /** Paints picture and strokes. `withPen`: also marks the place of the keys' pen, which is no ink. */
  paint(withPen = true) {
    const { paper, canvas, picture } = this;
    paper.fillStyle = "#fff";
    paper.fillRect(0, 0, canvas.width, canvas.height);
    if (picture?.bitmap) {
      const { width, height } = picture.bitmap;
      const scale = Math.min(canvas.width / width, canvas.height / height);
      const [w, h] = [width * scale, height * scale];
      paper.drawImage(picture.bitmap, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
    }
    paper.lineWidth = STROKE;
    paper.lineCap = paper.lineJoin = "round";
    paper.strokeStyle = paper.fillStyle = "#000";
    for (const stroke of this.strokes) {
      paper.beginPath();
      paper.moveTo(stroke[0].x, stroke[0].y);
      for (const { x, y } of stroke) paper.lineTo(x, y); // a point alone is a line to itself: a dot
      paper.stroke();
    }
    if (withPen && document.activeElement === canvas && this.usesKeys) {
      paper.strokeStyle = this.pen.isDown ? "#c2410c" : "#1d4ed8";
      paper.lineWidth = 2;
      paper.strokeRect(this.pen.x - 12, this.pen.y - 12, 24, 24);
    }
  }

  listen() {
    const { canvas } = this;
    let stroke = null;
    let drawing = null; // id of the pointer that draws: the first of several fingers
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || stroke) return;
      drawing = event.pointerId;
      canvas.setPointerCapture(drawing);
      this.usesKeys = this.pen.isDown = false;
      stroke = [this.at(event)];
      this.strokes.push(stroke);
      this.paint();
      this.changed(false);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!stroke || event.pointerId !== drawing) return;
      // Browsers report one move a frame; a quick pen crosses the sheet in that time. Take all points in between.
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) stroke.push(this.at(each));
      this.paint();
      this.changed(false);
    });
    const end = (event) => {
      if (!stroke || event.pointerId !== drawing) return;
      stroke = null;
      this.changed(true);
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, () => this.paint());
  }

  /** Returns the place of a pointer event in paper pixels. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  /** Moves the pen with the arrows, puts it down or lifts it with the space bar, clears with Delete. */
  onKey(event) {
    const moves = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };
    const { pen, canvas } = this;
    const within = (value, size) => Math.min(Math.max(value, 0), size);
    if (event.key in moves) {
      const [x, y] = moves[event.key];
      pen.x = within(pen.x + x, canvas.width);
      pen.y = within(pen.y + y, canvas.height);
      if (pen.isDown) this.strokes.at(-1).push({ x: pen.x, y: pen.y });
    } else if (event.key === " ") {
      pen.isDown = !pen.isDown;
      if (pen.isDown) this.strokes.push([{ x: pen.x, y: pen.y }]);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
    this.usesKeys = true;
    this.paint();
    this.changed(!pen.isDown);
  }
}
