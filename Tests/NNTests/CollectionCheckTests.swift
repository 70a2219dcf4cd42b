import NN
import Tensors
import Testing

// Debug builds alone look for what was forgotten.
#if DEBUG
    /// Parameters that `collect(into:)` forgets.
    @Suite("Forgotten parameters") struct CollectionCheckTests {
        /// Collects what it is told to.
        private struct Parts: Module {
            let norm = LayerNorm(3)
            let layers = [Linear(3, 3, key: RandomKey(seed: 1)), Linear(3, 3, key: RandomKey(seed: 2))]
            let gate: (scale: Parameter?, other: Int) = (Parameter(.ones([3])), 1)
            let table = [1, 2, 3]
            let named: Set<String>

            func collect(into state: inout StateCollector) {
                if named.contains("norm") { state.add("norm", norm) }
                if named.contains("layers") { state.add("layers", layers) }
                if named.contains("first layer") { state.add("layers.0", layers[0]) }
                if named.contains("gate"), let scale = gate.scale { state.add("gate", scale) }
            }
        }

        /// A model around it.
        private struct Whole: Module {
            let parts: Parts?
            func collect(into state: inout StateCollector) { if let parts { state.add("parts", parts) } }
        }

        @Test("Nothing is said where all are collected")
        func all() { #expect(Whole(parts: Parts(named: ["norm", "layers", "gate"])).state.count == 7) }

        @Test("A shared parameter needs one name, and an absent part none")
        func shared() {
            let linear = Linear(2, 2, key: RandomKey(seed: 1))
            struct Tied: Module {
                let first: Linear, second: Linear, absent: Linear?
                func collect(into state: inout StateCollector) { state.add("first", first) }
            }
            #expect(Tied(first: linear, second: linear, absent: nil).state.count == 2)
        }

        @Test(
            "A forgotten parameter is named by its place",
            arguments: [
                ("layers, gate", "Parts.norm.weight"), ("norm, gate", "Parts.layers[0].weight"),
                ("norm, first layer, gate", "Parts.layers[1].weight"), ("norm, layers", "Parts.gate.scale"),
            ])
        func forgotten(_ named: String, _ place: String) async {
            let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [named] in
                _ = Parts(named: Set(named.split(separator: ", ").map(String.init))).state
            }
            let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
            #expect(said.contains("Parts.collect(into:): \(place) is not collected"), "\(said)")
        }

        /// A student beside what it learns from.
        private struct Student: Module {
            let layer = Linear(2, 2, key: RandomKey(seed: 1))
            let teacher = Whole(parts: Parts(named: ["norm", "layers", "gate"]))
            let average = Parameter(.ones([2]))
            let forgotten: Parameter?
            func collect(into state: inout StateCollector) {
                state.add("layer", layer)
                state.leaveOut(teacher)
                state.leaveOut(average)
            }
        }

        /// A student in a model, which leaves nothing out itself.
        private struct School: Module {
            let student = Student(forgotten: nil)
            func collect(into state: inout StateCollector) { state.add("student", student) }
        }

        @Test("What is left out on purpose is neither in the state nor missed")
        func leftOut() {
            #expect(Student(forgotten: nil).state.map(\.key) == ["layer.weight", "layer.bias"])
            #expect(School().trainable.map(\.key) == ["student.layer.weight", "student.layer.bias"])
        }

        @Test("A module that is left out may itself leave parts out")
        func leftOutWithin() {
            struct Observer: Module {
                let school = School()
                func collect(into state: inout StateCollector) { state.leaveOut(school) }
            }
            #expect(Observer().state.isEmpty)
        }

        @Test("Another parameter beside those left out is still found")
        func forgottenBeside() async {
            let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
                _ = Student(forgotten: Parameter(.ones([1]))).state
            }
            let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
            #expect(said.contains("Student.forgotten is not collected"), "\(said)")
        }

        @Test("A part of a part is found through the whole")
        func nested() async {
            let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
                _ = Whole(parts: Parts(named: ["norm", "gate"])).trainable
            }
            let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
            #expect(said.contains("Whole.collect(into:): Whole.parts.layers[0].weight is not collected"), "\(said)")
        }
    }
#endif

@Suite("Parameters that are not collected") struct UncollectedParameterTests {
    private struct Part: Module {
        let first = Linear(2, 2, key: RandomKey(seed: 1))
        let second = RMSNorm(2)
        let average = Parameter(.ones([2]))
        let named: Bool
        func collect(into state: inout StateCollector) {
            if named { state.add("first", first) }
            if named { state.add("second", second) }
            state.leaveOut(average)
        }
    }

    @Test("All of them are listed, in order")
    func listed() {
        #expect(Part(named: true).uncollectedParameters == [])
        let expected = ["Part.first.weight", "Part.first.bias", "Part.second.weight"]
        #expect(Part(named: false).uncollectedParameters == expected)
        #expect(Part(named: false).uncollectedParameters == expected)
    }
}
