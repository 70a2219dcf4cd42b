import NN
import Tensors
import Testing

@testable import LocalTransformers

/// Which tokens a position sees.
@Suite struct LocalCausalityTests {
    /// One layer sees W · look_backward tokens before oneself, or with whole windows up to W − 1 more.
    @Test("One layer sees as far back as its windows", arguments: [0, 1, 2, 3], [true, false])
    func oneLayerSeesAsFarAsItsWindows(back: Int, exact: Bool) {
        let window = 3
        let model = makeLocalModel(LocalVariant(back: back, exact: exact), window: window, depth: 1)
        let tokens = randomTokens([1, 20])
        let before = model(tokens)
        for t in [0, 4, 8] {
            let after = model(changed(tokens, at: t))
            let last = exact ? t + window * back : (t / window + back + 1) * window - 1
            for position in 0..<20 {
                let isSeen = t <= position && position <= last
                let isSame = after.at(1, position).values == before.at(1, position).values
                #expect(isSame == !isSeen, "token \(t), position \(position)")
            }
        }
    }

    @Test("One layer looks as far forward as its windows", arguments: [0, 1, 2], [true, false])
    func oneLayerLooksAsFarForward(forward: Int, exact: Bool) {
        let window = 3
        let model = makeLocalModel(LocalVariant(exact: exact), causal: false, window: window, depth: 1) {
            $0.attention.attention.lookForward = forward
        }
        let tokens = randomTokens([1, 20])
        let before = model(tokens)
        for t in [5, 13, 19] {
            let after = model(changed(tokens, at: t))
            let first = exact ? t - window * forward : (t / window - forward) * window
            let last = exact ? t + window : (t / window + 2) * window - 1
            for position in 0..<20 {
                let isSeen = first <= position && position <= last
                let isSame = after.at(1, position).values == before.at(1, position).values
                #expect(isSame == !isSeen, "token \(t), position \(position)")
            }
        }
    }

    private func changed(_ tokens: TokenTensor, at t: Int) -> TokenTensor {
        var result = tokens
        for row in 0..<tokens.shape[0] {
            let index = row * tokens.shape[1] + t
            result.values[index] = (result.values[index] + 1) % Int32(vocabulary)
        }
        return result
    }
}
