"""A FastAPI service whose model calls go through Sluice, whole and streamed.

curl -s 'http://localhost:8000/ask?question=Hello'
curl -sN 'http://localhost:8000/stream?question=Hello'
"""

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI

app = FastAPI()
client = AsyncOpenAI(base_url="http://localhost:8080/openai", api_key="dummy-key")


@app.get("/ask")
async def ask(question: str):
    reply = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": question}],
    )
    return {"answer": reply.choices[0].message.content}


@app.get("/stream")
async def stream(question: str):
    chunks = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": question}],
        stream=True,
    )

    async def text():
        async for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return StreamingResponse(text(), media_type="text/plain")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=8000)
