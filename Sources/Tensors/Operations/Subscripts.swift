import CKernels

// x[0, 1..., .last]: one view and one gradient for all axes.

/// One position of `x[…]`: an integer, a range, or a member of `AxisIndex` such as `.last`.
public protocol TensorIndex: Sendable {
    /// The selection along the axis.
    var axisIndex: AxisIndex { get }
}

/// The selection along one axis of a tensor.
public struct AxisIndex: TensorIndex {
    enum Selection: Sendable {
        /// One position, whose axis is dropped; negative ones count from the back.
        case position(Int)
        /// The positions between two bounds; nil is the axis's own, negative ones count from the back.
        case range(lower: Int?, upper: Int?, step: Int)
        /// All axes that no other index takes.
        case ellipsis
        /// A new axis of length 1.
        case newAxis
    }

    let selection: Selection

    init(_ selection: Selection) { self.selection = selection }

    /// This index.
    public var axisIndex: AxisIndex { self }
}

extension TensorIndex where Self == AxisIndex {
    /// The whole axis, as `0...`.
    public static var all: AxisIndex { AxisIndex(.range(lower: nil, upper: nil, step: 1)) }
    /// The last position; the axis is dropped.
    public static var last: AxisIndex { AxisIndex(.position(-1)) }
    /// All axes that no other index takes, as `...`.
    public static var ellipsis: AxisIndex { AxisIndex(.ellipsis) }
    /// A new axis of length 1.
    public static var newAxis: AxisIndex { AxisIndex(.newAxis) }
    /// Every position whose number is a multiple of a step; with a negative step from the last one backward.
    public static func strided(by step: Int) -> AxisIndex { AxisIndex(.range(lower: nil, upper: nil, step: step)) }
}

extension Int: TensorIndex {
    /// One position, whose axis is dropped; negative ones count from the back.
    public var axisIndex: AxisIndex { AxisIndex(.position(self)) }
}

extension Range<Int>: TensorIndex {
    /// The positions of the range.
    public var axisIndex: AxisIndex { AxisIndex(.range(lower: lowerBound, upper: upperBound, step: 1)) }
}

extension ClosedRange<Int>: TensorIndex {
    /// The positions of the range.
    public var axisIndex: AxisIndex { AxisIndex(.range(lower: lowerBound, upper: upperBound + 1, step: 1)) }
}

extension PartialRangeFrom<Int>: TensorIndex {
    /// The positions from a bound to the last; a negative bound counts from the back.
    public var axisIndex: AxisIndex { AxisIndex(.range(lower: lowerBound, upper: nil, step: 1)) }
}

extension PartialRangeUpTo<Int>: TensorIndex {
    /// The positions before a bound; a negative bound counts from the back.
    public var axisIndex: AxisIndex { AxisIndex(.range(lower: nil, upper: upperBound, step: 1)) }
}

extension PartialRangeThrough<Int>: TensorIndex {
    /// The positions up to and including a bound; a negative bound counts from the back.
    public var axisIndex: AxisIndex {
        AxisIndex(.range(lower: nil, upper: upperBound == -1 ? nil : upperBound + 1, step: 1))
    }
}

extension Tensor {
    /// A part of the tensor, as a view: integers drop their axis, ranges keep it, axes without an index are whole.
    ///
    ///     x[0, 1...]        x[.ellipsis, .last]        x[0..<2, .newAxis, .strided(by: 2)]
    public subscript(_ indices: any TensorIndex...) -> Tensor { selecting(indices.map(\.axisIndex)) }

    /// A part of the tensor whose first axes are whole, as many as the other indices leave: `x[..., 1]`.
    public subscript(_ rest: UnboundedRange, _ indices: any TensorIndex...) -> Tensor {
        selecting([.ellipsis] + indices.map(\.axisIndex))
    }

    /// A part of the tensor that takes the axes after the first whole, as many as the other indices leave: `x[0, ..., 1]`.
    public subscript(_ first: any TensorIndex, _ rest: UnboundedRange, _ indices: any TensorIndex...) -> Tensor {
        selecting([first.axisIndex, .ellipsis] + indices.map(\.axisIndex))
    }

    private func selecting(_ indices: [AxisIndex]) -> Tensor {
        let part = ViewPart(of: self, indices)
        let offset = zip(part.starts, strides).reduce(self.offset) { $0 + $1.0 * $1.1 }
        let result = Tensor(storage: storage, offset: offset, shape: part.shape, strides: part.strides(in: strides))
        let whole = shape
        return .record("subscript", result, inputs: [self]) { gradient, slots in
            slots[0].accumulate { destination, beta in
                if beta == 0 { az_fill(Shape.count(whole), 0, destination) }
                let dense = Shape.strides(whole)
                let base = zip(part.starts, dense).reduce(0) { $0 + $1.0 * $1.1 }
                addView(gradient, to: destination + base, strides: part.strides(in: dense))
            }
        }
    }
}

/// The place of a part in the tensor that it is taken from.
private struct ViewPart {
    /// The lengths of the part's axes.
    private(set) var shape: [Int] = []
    /// The first position of each axis of the whole; 0 in a part without elements.
    private(set) var starts: [Int] = []
    /// The axis of the whole that each axis of the part comes from, and its step there; nil for a new axis.
    private var sources: [(axis: Int, step: Int)?] = []

    init(of whole: Tensor, _ indices: [AxisIndex]) {
        let taken = indices.count { if case .newAxis = $0.selection { false } else { true } }
        let ellipses = indices.count { if case .ellipsis = $0.selection { true } else { false } }
        let rest = whole.rank - (taken - ellipses)
        require(
            rest >= 0 && ellipses <= 1,
            "subscript: \(taken - ellipses) indices\(ellipses > 1 ? " and \(ellipses) ellipses" : "") of a tensor of shape "
                + "\(whole.shape)")
        for index in indices {
            switch index.selection {
            case .newAxis: add(1, from: nil)
            case .ellipsis: addWhole(rest, of: whole.shape)
            case .position(let position): add(position, of: whole.shape)
            case .range(let lower, let upper, let step): add(lower, upper, by: step, of: whole.shape)
            }
        }
        if ellipses == 0 { addWhole(rest, of: whole.shape) }
        if shape.contains(0) { starts = starts.map { _ in 0 } }
    }

    /// The part's strides, given those of the whole.
    func strides(in whole: [Int]) -> [Int] { sources.map { $0.map { whole[$0.axis] * $0.step } ?? 0 } }

    private mutating func add(_ length: Int, from source: (axis: Int, step: Int)?) {
        shape.append(length)
        sources.append(source)
    }

    private mutating func addWhole(_ count: Int, of whole: [Int]) {
        for _ in 0..<count {
            add(whole[starts.count], from: (starts.count, 1))
            starts.append(0)
        }
    }

    private mutating func add(_ position: Int, of whole: [Int]) {
        let (axis, length) = (starts.count, whole[starts.count])
        let place = position < 0 ? position + length : position
        require(place >= 0 && place < length, "subscript: index \(position) of axis \(axis) of shape \(whole)")
        starts.append(place)
    }

    private mutating func add(_ lower: Int?, _ upper: Int?, by step: Int, of whole: [Int]) {
        let (axis, length) = (starts.count, whole[starts.count])
        require(step != 0, "subscript: step 0 of axis \(axis) of shape \(whole)")
        func place(_ bound: Int) -> Int { bound < 0 ? bound + length : bound }
        let (from, to) = (lower.map(place) ?? 0, upper.map(place) ?? length)
        require(
            from >= 0 && from <= to && to <= length,
            "subscript: \(lower.map { "\($0)" } ?? "")..<\(upper.map { "\($0)" } ?? "") of axis \(axis) of shape \(whole)"
        )
        add((to - from + abs(step) - 1) / abs(step), from: (axis, step))
        starts.append(step > 0 ? from : to - 1)
    }
}
