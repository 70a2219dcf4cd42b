import AttentionZooTestSupport
import NN
import Tensors
import Testing

/// The feed-forward layer in both forms against its equation, on the parameters that its state dict names.
@Suite("Feed-forward layers") struct PositionwiseFeedForwardTests {
    /// Options of a layer.
    struct Options: Sendable, CustomTestStringConvertible {
        var hasNorm = true, hasBiases = false, isGated = false, hasTwoNames = false
        var activation = Activation.gelu
        var dropout = 0.0
        var outputs = 4
        var testDescription: String {
            "norm \(hasNorm), biases \(hasBiases), gated \(isGated), names of halves \(hasTwoNames), \(activation), "
                + "dropout \(dropout), \(outputs) outputs"
        }

        func layer() -> PositionwiseFeedForward {
            let layer = PositionwiseFeedForward(
                4, hidden: 3, outputs: outputs, norm: hasNorm ? LayerNorm(4) : nil, bias: hasBiases,
                activation: activation, isGated: isGated, dropout: dropout,
                names: .init(norm: "n", up: "w", linearHalf: hasTwoNames ? "v" : nil, down: "o"),
                key: RandomKey(seed: 3))
            for (index, entry) in layer.trainable.enumerated() {
                entry.parameter.assign(.normal(entry.parameter.shape, key: RandomKey(seed: 9).child(index)))
            }
            return layer
        }
    }

    static let options = [
        Options(), Options(hasNorm: false), Options(hasBiases: true, activation: .relu, dropout: 0.4, outputs: 6),
        Options(isGated: true, dropout: 0.3), Options(hasNorm: false, hasBiases: true, isGated: true, outputs: 2),
        Options(hasBiases: true, isGated: true, hasTwoNames: true, activation: .relu, dropout: 0.2),
        Options(hasNorm: false, isGated: true, hasTwoNames: true, activation: .silu),
    ]

    enum Addend: CaseIterable { case none, tensor, input }

    /// The equation, of parameters by their keys.
    private func reference(
        _ options: Options, _ state: [String: Tensor], _ x: Tensor, _ addend: Addend, _ residual: Tensor,
        _ key: RandomKey?
    ) -> Tensor {
        let input = options.hasNorm ? layerNorm(x, weight: state["n.weight"]!, bias: state["n.bias"]!) : x
        func product(_ name: String, _ x: Tensor) -> Tensor {
            let y = matrixProduct(x, state[name + ".weight"]!, transposeB: true)
            return state[name + ".bias"].map { y + $0 } ?? y
        }
        var hidden: Tensor
        if options.hasTwoNames {
            hidden = product("v", input) * options.activation(product("w", input))
        } else if options.isGated {
            let z = product("w", input)
            hidden = z.sliced(-1, to: 3) * options.activation(z.sliced(-1, from: 3))
        } else {
            hidden = options.activation(product("w", input))
        }
        hidden = dropout(hidden, probability: Float(options.dropout), key: key)
        let y = product("o", hidden)
        return switch addend {
        case .none: y
        case .tensor: y + residual
        case .input: y + input
        }
    }

    @Test(
        "Both forms are the equation, with all gradients", arguments: options, [Implementation.plain, .fused])
    func equation(_ options: Options, _ form: Implementation) throws {
        let layer = options.layer()
        let key = RandomKey(seed: 8)
        let mode = ForwardMode.training(key).using(form)
        for addend in Addend.allCases where addend != .input || options.outputs == 4 {
            let x = Tensor.normal([5, 7, 4], key: RandomKey(seed: 1)).requiringGradient()
            let residual = Tensor.normal([5, 7, options.outputs], key: RandomKey(seed: 2)).requiringGradient()
            let probe = Tensor.normal([5, 7, options.outputs], key: RandomKey(seed: 4))
            let y =
                switch addend {
                case .none: layer(x, mode: mode)
                case .tensor: layer(x, residual: residual, mode: mode)
                case .input: layer(x, residual: .input, mode: mode)
                }
            let state = Dictionary(uniqueKeysWithValues: layer.state.map { ($0.key, $0.parameter.value) })
            let expected = reference(options, state, x, addend, residual, key)
            #expect(y.shape == expected.shape)
            expectClose(y.values, expected.values, terms: 40, "\(addend)")
            let (got, wanted) = (gradients(of: (y * probe).sum()), gradients(of: (expected * probe).sum()))
            func pair(_ name: String, _ leaf: Tensor) -> (String, [Float], [Float]) {
                (name, got[leaf]?.values ?? [], wanted[leaf]?.values ?? [])
            }
            let pairs =
                [pair("x", x), pair("residual", residual)] + layer.trainable.map { pair($0.key, $0.parameter.value) }
            expectGradients(pairs, SumLengths(shapes: [x.shape, [4, 6]], rows: 35))
        }
    }

    @Test("A norm of the caller's takes the place of the layer's own", arguments: [Implementation.plain, .fused])
    func givenNorm(_ form: Implementation) {
        let layer = Options(hasNorm: false).layer()
        let other = RMSNorm(4)
        other.weight.assign(.normal([4], key: RandomKey(seed: 5)))
        let x = Tensor.normal([3, 4], key: RandomKey(seed: 1))
        let mode = ForwardMode.inference.using(form)
        expectClose(layer(x, after: other, mode: mode).values, layer(other(x), mode: mode).values, terms: 24)
        let added = layer(x, after: other, residual: .input, mode: mode)
        expectClose(added.values, (layer(other(x), mode: mode) + other(x)).values, terms: 24)
    }

    @Test("Halves of a gate with keys of their own are drawn apart, the activated one as without a gate")
    func draws() throws {
        func weights(_ isGated: Bool, _ half: String?) -> [String: [Float]] {
            let layer = PositionwiseFeedForward(
                4, hidden: 3, isGated: isGated, names: .init(up: "w", linearHalf: half, down: "o"),
                key: RandomKey(seed: 1))
            return Dictionary(uniqueKeysWithValues: layer.state.map { ($0.key, $0.parameter.value.values) })
        }
        let (single, halves, whole) = (weights(false, nil), weights(true, "v"), weights(true, nil))
        #expect(single.keys.sorted() == ["o.weight", "w.weight"])
        #expect(halves.keys.sorted() == ["o.weight", "v.weight", "w.weight"])
        #expect(single["w.weight"] == halves["w.weight"] && halves["v.weight"] != halves["w.weight"])
        #expect(whole["w.weight"]?.count == 24 && whole["o.weight"] == single["o.weight"])
    }
}
