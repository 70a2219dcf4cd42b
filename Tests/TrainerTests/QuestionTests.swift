import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct QuestionTests {
    /// Foresees a token if the one before it stands in a list of pairs.
    func model(_ pairs: [(Int32, Int32)]) -> Bigram {
        let model = Bigram(vocabulary: 10, width: 10)
        var (table, weight) = ([Float](repeating: 0, count: 100), [Float](repeating: 0, count: 100))
        for i in 0..<10 { table[i * 11] = 1 }
        for (token, next) in pairs { weight[Int(next) * 10 + Int(token)] = 50 }
        model.table.weight.assign(Tensor(table, shape: [10, 10]))
        model.output.weight.assign(Tensor(weight, shape: [10, 10]))
        model.output.bias?.assign(Tensor(repeating: 0, shape: [10]))
        return model
    }

    let text = TokenSource(name: "digits", tokens: [1, 2, 3, 4, 5, 6, 1, 2, 9, 4, 5, 6, 1, 2, 3])

    @Test(
        "A question counts as answered only if every token of its answer is right", arguments: [1, 2, 4, 64], [1, 3])
    func everyTokenOfAnAnswerCounts(length: Int, batchSize: Int) throws {
        let questions = [
            Question(answer: 1..<3, distance: 50),  // 2 3 after 1: yes
            Question(answer: 7..<9, distance: 80),  // 2 9 after 1: 9 is not foreseen
            Question(answer: 13..<15, distance: 101),  // 2 3 after 1: yes
            Question(answer: 3..<4, distance: 5000),  // 4 after 3: no
        ]
        let result = try model([(1, 2), (2, 3)]).evaluate(
            text, sequenceLength: length, batchSize: batchSize, questions: questions)
        #expect(
            result.answers == [
                AnsweredQuestions(distance: 100, asked: 2, answered: 1),
                AnsweredQuestions(distance: 300, asked: 1, answered: 1),
                AnsweredQuestions(distance: 10_000, asked: 1, answered: 0),
            ])
        #expect(
            result.metrics.filter { $0.key.hasPrefix("answered") } == [
                "answered_to_100": 0.5, "answered_to_300": 1, "answered_to_10000": 0, "answered": 0.5,
            ])
        #expect(try model([]).evaluate(text, sequenceLength: length).answers.isEmpty)
    }

    /// Foresees the first token of the window.
    struct First: LanguageModel {
        let vocabularySize = 10
        let isCausal = true
        let table = Embedding(10, 10, key: RandomKey(seed: 1))

        func collect(into state: inout StateCollector) { state.add("table", table) }

        func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
            let length = tokens.shape[1]
            return table(
                TokenTensor(tokens.values.indices.map { tokens.values[$0 / length * length] }, shape: tokens.shape))
        }

        func startDecoding() -> Int { 0 }
        func decode(_ tokens: [[Int32]], states: inout [Int]) -> Tensor { Tensor([]) }
    }

    @Test("An early question takes no context from other rows", arguments: [1, 2, 64])
    func anEarlyQuestionTakesNoContextFromOthers(batchSize: Int) throws {
        let model = First()
        model.table.weight.assign(Tensor((0..<100).map { $0 % 11 == 0 ? 1 : 0 }, shape: [10, 10]))
        let questions = [2, 10].map { Question(answer: $0..<$0 + 1, distance: $0) }
        // What stands eight tokens before the second answer, and nowhere else.
        let text = TokenSource(name: "digits", tokens: [3, 1, 7, 1, 1, 1, 1, 1, 1, 1, 7, 1, 1])
        let result = try model.evaluate(text, sequenceLength: 8, batchSize: batchSize, questions: questions)
        #expect(result.answers == [AnsweredQuestions(distance: 100, asked: 2, answered: 1)])
    }

    @Test("A masked model is asked no questions")
    func aMaskedModelIsNotAsked() throws {
        let objective = Objective.masked(MaskedTokens(maskToken: 9))
        let questions = [Question(answer: 3..<4, distance: 10)]
        let results = try [
            model([]).evaluate(text, sequenceLength: 4, objective: objective, questions: questions),
            Trigram(vocabulary: 10).evaluate(text, sequenceLength: 4, objective: objective, questions: questions),
        ]
        for result in results {
            #expect(result.answers.isEmpty)
            #expect(result.accuracy != nil)
        }
    }

    @Test("A model with a carry answers as it reads, at any segment length", arguments: [1, 2, 3, 5, 64])
    func aModelThatCarriesAnswersAsItReads(length: Int) throws {
        // Foresees 8 after 7 5, and not after 6 5: it has to remember across the segment's end.
        let model = Trigram(vocabulary: 10, maximumLength: length)
        var (current, previous) = ([Float](repeating: 0, count: 100), [Float](repeating: 0, count: 100))
        (current[5 * 10 + 8], current[5 * 10 + 9], previous[7 * 10 + 8], previous[6 * 10 + 9]) = (1, 1, 1, 1)
        model.current.weight.assign(Tensor(current, shape: [10, 10]))
        model.previous.weight.assign(Tensor(previous, shape: [10, 10]))
        let text = TokenSource(name: "digits", tokens: [1, 7, 5, 8, 1, 6, 5, 9, 1, 7, 5, 8, 1, 6, 5, 8])
        var questions = [3, 7, 11, 15].map { Question(answer: $0..<$0 + 1, distance: 10) }
        questions.append(Question(answer: 11..<13, distance: 200))  // the 1 behind the 8 is not foreseen
        // Each window beginning with nothing, a question has a window of its own, which is enough here.
        for carries in [true, false] {
            let result = try model.evaluate(
                text, sequenceLength: 5, batchSize: 2, carries: carries, questions: questions)
            #expect(
                result.answers == [
                    AnsweredQuestions(distance: 100, asked: 4, answered: 3),
                    AnsweredQuestions(distance: 300, asked: 1, answered: 0),
                ])
        }
    }
}
