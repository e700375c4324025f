"""A LangGraph node that talks through Sluice: two turns, the second with the first one's history."""

from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph

model = ChatOpenAI(base_url="http://localhost:8080/openai", api_key="dummy-key", model="gpt-4o-mini")


def talk(state: MessagesState):
    return {"messages": [model.invoke(state["messages"])]}


graph = StateGraph(MessagesState)
graph.add_node("talk", talk)
graph.add_edge(START, "talk")
graph.add_edge("talk", END)
chat = graph.compile()

state = chat.invoke({"messages": [HumanMessage("My name is Ada.")]})
state = chat.invoke({"messages": [*state["messages"], HumanMessage("What is my name?")]})
for message in state["messages"]:
    print(f"{message.type}: {message.content}")
