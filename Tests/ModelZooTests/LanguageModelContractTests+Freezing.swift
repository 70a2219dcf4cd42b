import ModelZoo
import Testing

// MARK: Freezing

extension LanguageModelContractTests {
    @Test("Freezing some parameters leaves the gradients of the others as they are", arguments: ContractModel.all)
    func freezing(_ entry: ContractModel) throws {
        let model = try entry.make()
        let (tokens, targets) = (entry.tokens(2, by: n), entry.tokens(2, by: n, seed: 4))
        let parameters = model.trainable
        let half = parameters.count / 2
        let choices: [(name: String, isFrozen: (Int) -> Bool)] = [
            ("even", { $0 % 2 == 0 }), ("odd", { $0 % 2 == 1 }), ("first half", { $0 < half }),
            ("last half", { $0 >= half }), ("all but one", { $0 != half }),
        ]
        for form in Implementation.allCases {
            let mode = ForwardMode.inference.using(form)
            let all = Tensors.gradients(of: model.loss(tokens, targets, mode: mode))
            let expected = parameters.map { all[$0.parameter] }
            for (name, isFrozen) in choices {
                defer { model.unfreeze() }
                for (index, (_, parameter)) in parameters.enumerated() where isFrozen(index) { parameter.freeze() }
                let loss = model.loss(tokens, targets, mode: mode)
                let hasAny = parameters.indices.contains { !isFrozen($0) && expected[$0] != nil }
                #expect(loss.requiresGradient || !hasAny, "\(name)")
                guard loss.requiresGradient else { continue }
                let some = Tensors.gradients(of: loss)
                for (index, (key, parameter)) in parameters.enumerated() {
                    if isFrozen(index) {
                        #expect(some[parameter] == nil, "\(form), \(name): \(key)")
                    } else if let one = some[parameter], let other = expected[index] {
                        #expect(one.values == other.values, "\(form), \(name): \(key)")
                    } else {
                        #expect((some[parameter] == nil) == (expected[index] == nil), "\(form), \(name): \(key)")
                    }
                }
            }
        }
    }
}
