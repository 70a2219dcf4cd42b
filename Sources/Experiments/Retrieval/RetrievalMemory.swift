import FastWeightTransformers
import NN
import Tensors

/// The map of keys and queries before the memory: a feature map φ with its size, or softmax.
package enum RetrievalMap: Hashable, Sendable {
    /// ELU(x) + 1: d features.
    case elu
    /// DPFP-ν: 2 d ν features.
    case dpfp(nu: Int)
    /// FAVOR+ with m random directions, drawn again for every batch as the authors do: 2 m features.
    case favor(directions: Int)
    /// No memory of fixed size: softmax attention to all pairs.
    case softmax

    /// elu, dpfpN, favorM or softmax.
    /// - Throws: `InputError` for anything else.
    package init(_ name: String) throws {
        func number(after prefix: String, in range: ClosedRange<Int>) -> Int? {
            guard name.hasPrefix(prefix) else { return nil }
            return Int(name.dropFirst(prefix.count)).flatMap { range.contains($0) ? $0 : nil }
        }
        if name == "elu" {
            self = .elu
        } else if name == "softmax" {
            self = .softmax
        } else if let nu = number(after: "dpfp", in: 1...(2 * RetrievalModel.width - 1)) {
            self = .dpfp(nu: nu)
        } else if let directions = number(after: "favor", in: 1...65536) {
            self = .favor(directions: directions)
        } else {
            throw InputError(
                "--maps: expected elu, dpfp1 to dpfp\(2 * RetrievalModel.width - 1), favor1 to favor65536 or softmax,"
                    + " found \(JSONValue.quoted(name))")
        }
    }

    /// The map's name on the command line.
    package var name: String {
        switch self {
        case .elu: "elu"
        case .dpfp(let nu): "dpfp\(nu)"
        case .favor(let directions): "favor\(directions)"
        case .softmax: "softmax"
        }
    }

    /// As the paper writes it.
    package var title: String {
        switch self {
        case .elu: "ELU + 1"
        case .dpfp(let nu): "DPFP-\(nu)"
        case .favor(let directions): "FAVOR+ (\(directions))"
        case .softmax: "softmax"
        }
    }

    /// The map without its size, and the sizes.
    private var parts: (map: FeatureMap, nu: Int, directions: Int) {
        switch self {
        case .elu: (.elu, 1, 0)
        case .dpfp(let nu): (.dpfp, nu, 0)
        case .favor(let directions): (.favor, 1, directions)
        case .softmax: (.softmax, 1, 0)
        }
    }

    /// Features of a key of d columns.
    func features(_ d: Int) -> Int { parts.map.width(d, nu: parts.nu, directions: parts.directions) }

    /// φ of rows [..., d] → [..., features].
    /// - Parameters:
    ///   - normalized: whether rows are divided by their sum + ε (section 4.2).
    ///   - directions: of FAVOR+, [d, m].
    func callAsFunction(_ x: Tensor, normalized: Bool, directions: Tensor?) -> Tensor {
        let epsilon = normalized ? RetrievalMemory.epsilon : nil
        return Features(parts.map, nu: parts.nu, directions: directions, epsilon: epsilon)(x)
    }
}

/// A memory: a feature map and the rule by which pairs are written.
package struct RetrievalMemory: Hashable, Sendable {
    /// The map of keys and queries.
    package let map: RetrievalMap
    /// nil with softmax, which writes nothing.
    package let rule: UpdateRule?

    /// Creates a memory; softmax has no rule, whatever is given.
    package init(_ map: RetrievalMap, _ rule: UpdateRule) {
        self.map = map
        self.rule = map == .softmax ? nil : rule
    }

    /// Such as dpfp2 delta.
    package var name: String { [map.name, rule?.rawValue].compactMap { $0 }.joined(separator: " ") }

    /// Such as DPFP-2, delta.
    package var title: String { [map.title, rule?.rawValue].compactMap { $0 }.joined(separator: ", ") }

    /// Every map with every rule, softmax once; in the order given.
    package static func all(_ maps: [RetrievalMap], _ rules: [UpdateRule]) -> [RetrievalMemory] {
        var seen = Set<RetrievalMemory>()
        return maps.flatMap { map in rules.map { RetrievalMemory(map, $0) } }.filter { seen.insert($0).inserted }
    }

    /// Returns the weight of each pair's value for each query, after all pairs have been written.
    ///
    /// - Parameters:
    ///   - q: queries before φ, [b, m, d].
    ///   - k: keys before φ, [b, n, d].
    ///   - beta: the share of each pair, [b, n]; of the delta rule alone.
    ///   - directions: of FAVOR+, [d, m].
    /// - Returns: [b, m, n].
    func weights(_ q: Tensor, _ k: Tensor, beta: @autoclosure () -> Tensor, directions: Tensor? = nil) -> Tensor {
        func features(_ x: Tensor) -> Tensor { map(x, normalized: rule == .delta, directions: directions) }
        let (queries, keys) = (features(q), features(k))
        switch rule {
        case nil:
            let scale = 1 / Float(q.shape[2]).squareRoot()
            return softmax(matrixProduct(queries, keys, transposeB: true, alpha: scale))
        case .sum:
            // Attention normalization (section 4.2): φ(q)·φ(k) over its sum for all pairs.
            let products = matrixProduct(queries, keys, transposeB: true)
            return products / (products.sum(axes: [-1], keepAxes: true) + Self.epsilon)
        case .delta:
            return deltaRead(queries, keys, beta: beta())
        }
    }

    /// The bound that keeps sums from 0.
    static let epsilon: Float = 1e-6
}
