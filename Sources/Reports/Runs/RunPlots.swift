import Trainer

// The plots of one run.

extension RunRecord {
    private static let (wholeWidth, halfWidth) = (860.0, 430.0)

    private var steps: [Double] { metrics.map { Double($0.step) } }

    private static func stepAxis(_ label: String = "step") -> Axis {
        Axis(label, includesZero: true, format: .compact)
    }

    /// Returns the series of all steps: pale, and smoothed where there are enough.
    private func noisy(_ values: [Double], name: String = "") -> [Series] {
        let radius = values.count / 100
        guard radius > 0 else { return [Series(name, x: steps, y: values, color: 0, dash: 0)] }
        return [
            Series("", x: steps, y: values, style: .faint, color: 0),
            Series(name, x: steps, y: Series.smoothed(values, radius: radius), color: 0, dash: 0),
        ]
    }

    /// Training and validation, with the floors under them.
    var bitsPlot: HTML {
        let values = metrics.map(\.bitsPerByte)
        let validations = validations
        var series = noisy(values, name: "training " + Numbers.text(lastTraining ?? .nan, decimals: 3))
        if let last = validations.last {
            series.append(
                Series(
                    "validation " + Numbers.text(last.value, decimals: 3),
                    x: validations.map { Double($0.metrics.step) }, y: validations.map(\.value), style: .points,
                    color: 1, dash: 0))
        }
        let floors = floors.map { ReferenceLine($0.value, "\($0.name) " + Numbers.text($0.value, decimals: 3)) }
        let range = BitsRange([self])
        let plot = LinePlot(
            "Bits per byte by step", x: Self.stepAxis(), y: Axis("bits per byte", range: range.shown), series: series,
            references: floors, width: Self.wholeWidth, height: 340)
        var captions: [String] = []
        if series.first?.style == .faint {
            captions.append(
                "Pale: the batch of each step; blue: the mean over \(Numbers.text(metrics.count / 100 * 2 + 1)) steps.")
        }
        if !floors.isEmpty { captions.append("The floor is the entropy of the text: no model can do better.") }
        captions += range.caption.map { [$0] } ?? []
        return .figure("Bits per byte", caption: captions.joined(separator: " "), svg: plot.svg)
    }

    /// Learning rate, gradient norm, speed, and whatever else the model has measured.
    var coursePlots: HTML {
        let clip = configuration.training.clip
        let rate = LinePlot(
            "Learning rate", x: Self.stepAxis(), y: Axis(includesZero: true),
            series: [Series("", x: steps, y: metrics.map(\.learningRate), color: 0, dash: 0)])
        let norm = LinePlot(
            "Gradient norm", x: Self.stepAxis(), y: Axis(scale: .logarithmic),
            series: noisy(metrics.map(\.gradientNorm)),
            references: clip.map { [ReferenceLine($0, "clip")] } ?? [])
        let speed = LinePlot(
            "Tokens per second", x: Self.stepAxis(), y: Axis(includesZero: true, format: .compact),
            series: noisy(metrics.map(\.tokensPerSecond)))
        let captions = ["", "Before clipping.", "Of training alone."]
        let plots = [rate, norm, speed] + otherPlots
        // Two in a row; an odd one has the row to itself.
        let figures = plots.enumerated().map { index, plot in
            var plot = plot
            let isAlone = plots.count % 2 == 1 && index == plots.count - 1
            (plot.width, plot.height) = (isAlone ? Self.wholeWidth : Self.halfWidth, 220)
            return HTML.figure(plot.title, caption: index < 3 ? captions[index] : "", svg: plot.svg)
        }
        let paired = figures.count / 2 * 2
        return .pairs(Array(figures[..<paired])) + figures[paired...].reduce(.empty, +)
    }

    /// Keys that have no place elsewhere in the report.
    private var otherPlots: [LinePlot] {
        let known = [
            "validation_loss", "validation_bits_per_byte", "validation_floor", "validation_window_floor", "answered",
            "answered_by_chance",
        ]
        let keys = Set(metrics.lazy.filter { !$0.extra.isEmpty }.flatMap(\.extra.keys))
            .filter { !known.contains($0) && !$0.hasPrefix("answered_to_") }
        return keys.sorted().map { key in
            let found = measured(key)
            let line = Series(
                "", x: found.map { Double($0.metrics.step) }, y: found.map(\.value), style: .points, color: 0, dash: 0)
            return LinePlot(ReportText.words(key), x: Self.stepAxis(), y: Axis(), series: [line])
        }
    }

    /// Questions answered by distance: the last validation, and all of them.
    var answerPlots: HTML {
        let groups = DistanceGroup.all(in: [self])
        guard !groups.isEmpty, let last = lastAnswers else { return .empty }
        let lines = groups.enumerated().map { index, group in
            let found = measured(group.key)
            return Series(
                group.label, x: found.map { Double($0.metrics.step) }, y: found.map(\.value), style: .points,
                color: index)
        }
        let chance = ReportText.chance(of: [self])
        let overTime = LinePlot(
            "Questions answered by step and distance", x: Self.stepAxis(),
            y: Axis("questions answered", range: 0...1, format: .percent), series: lines, references: chance,
            width: Self.wholeWidth, height: 280)
        return AnswerBars.figure([self], groups, caption: "After step \(Numbers.text(last.step)).")
            + .figure(
                "Over the training", caption: "A line for each range of distances, in bytes.", svg: overTime.svg)
    }
}

extension ReportText {
    /// Returns the share of answers that guessing gets, if the metrics say so.
    static func chance(of runs: [RunRecord]) -> [ReferenceLine] {
        let shares = runs.compactMap { $0.last("answered_by_chance") }
        return shares.max().map { [ReferenceLine($0, "chance")] } ?? []
    }
}

/// Questions answered by distance, in the last validations of one or several runs.
enum AnswerBars {
    static func figure(_ runs: [RunRecord], _ groups: [DistanceGroup], caption: String) -> HTML {
        let plot = BarPlot(
            "Questions answered by distance", categories: groups.map(\.label), categoryLabel: "distance in bytes",
            y: Axis("questions answered", range: 0...1, format: .percent),
            bars: runs.map { run in .init(run.name, groups.map { run.lastAnswers?.extra[$0.key] }) },
            references: ReportText.chance(of: runs), valueText: { Numbers.text($0 * 100) + "%" })
        return .figure("Questions answered by distance", caption: caption, svg: plot.svg)
    }
}

/// The bits per byte that a plot shows: without the first steps, where they are so many more that the rest would be a flat
/// line below them.
struct BitsRange {
    /// nil for all.
    private(set) var shown: ClosedRange<Double>?
    /// The most that is cut off.
    private(set) var cut: Double?

    init(_ runs: [RunRecord]) {
        var (low, high, top) = (Double.infinity, -Double.infinity, -Double.infinity)
        for run in runs {
            let training = run.metrics.map(\.bitsPerByte)
            let smoothed = Series.smoothed(training)
            // A twentieth of the steps is where curves are steep; less than 20 have no such part.
            let late = training.count / 20
            let firstStep = late > 0 ? run.metrics[late].step : 0
            let validations = run.validations
            let shown = smoothed.dropFirst(late) + validations.filter { $0.metrics.step >= firstStep }.map(\.value)
            let all = training + validations.map(\.value)
            high = shown.reduce(high) { $1.isFinite ? max($0, $1) : $0 }
            top = all.reduce(top) { $1.isFinite ? max($0, $1) : $0 }
            low = (all + run.floors.map(\.value)).reduce(low) { $1.isFinite ? min($0, $1) : $0 }
        }
        guard low < high, top > high + 0.5 * (high - low) else { return }
        let room = (high - low) * 0.06
        // Bits are not below 0, but what a log says may be.
        shown = (low < 0 ? low - room : max(0, low - room))...high + room
        cut = top
    }

    var caption: String? {
        cut.map { "The first steps, from \(Numbers.text($0, decimals: 1)) bits down, are cut off." }
    }
}
